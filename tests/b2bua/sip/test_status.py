"""Status codes and phrases."""

import pytest

from b2bua.sip.status import REASON_PHRASES, reason_phrase


class TestPhrases:
    """RFC 3261 §21."""

    @pytest.mark.parametrize(
        ("status", "phrase"),
        [
            (100, "Trying"),
            (180, "Ringing"),
            (200, "OK"),
            (302, "Moved Temporarily"),
            (404, "Not Found"),
            (481, "Call/Transaction Does Not Exist"),
            (487, "Request Terminated"),
            (503, "Service Unavailable"),
            (603, "Decline"),
        ],
    )
    def test_phrase_is_that_of_the_document(self, status: int, phrase: str) -> None:
        assert reason_phrase(status) == phrase

    @pytest.mark.parametrize(
        ("status", "phrase"),
        [(199, "Early Dialog Terminated"), (299, "OK"), (399, "Multiple Choices"), (499, "Bad Request")],
    )
    def test_phrase_is_that_of_the_class_when_the_status_is_unknown(self, status: int, phrase: str) -> None:
        assert reason_phrase(status) == phrase

    def test_phrase_is_there_for_every_class(self) -> None:
        assert all(reason_phrase(status) != "Unknown" for status in range(100, 700))
        assert reason_phrase(700) == "Unknown"

    def test_phrases_stay_on_their_line(self) -> None:
        assert all(phrase.isascii() and phrase.isprintable() for phrase in REASON_PHRASES.values())
