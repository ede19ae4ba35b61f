"""Contacts of 3xx answers (RFC 3261 §8.1.3.4)."""

import pytest

from b2bua.call.redirection import LIMIT, Redirections, read_contacts
from b2bua.sip.headers import Headers
from b2bua.sip.message import Response


def redirection(*contacts: str) -> Response:
    headers = Headers()
    headers["contact"] = list(contacts)
    return Response(302, "Moved Temporarily", headers)


def uris(*contacts: str) -> list[str]:
    return [str(uri) for uri in read_contacts(redirection(*contacts))]


class TestContacts:
    def test_come_by_their_q(self) -> None:
        assert uris("<sip:1@a.example>;q=0.2, <sip:2@b.example>", "<sip:3@c.example>;q=0.7") == [
            "sip:2@b.example",
            "sip:3@c.example",
            "sip:1@a.example",
        ]

    def test_of_equal_preference_keep_their_order(self) -> None:
        assert uris("<sip:1@a.example>", "<sip:2@b.example>") == ["sip:1@a.example", "sip:2@b.example"]

    @pytest.mark.parametrize("q", ["high", "", "-1", "7"])
    def test_with_a_q_that_is_none_are_taken_all_the_same(self, q: str) -> None:
        assert uris(f"<sip:1@a.example>;q={q}") == ["sip:1@a.example"]

    @pytest.mark.parametrize(
        "value",
        ["<tel:+442079460000>", "<mailto:x@y.example>", "<sip:unclosed", "*", "", "<sip:1@a.example;method=REFER>"],
    )
    def test_that_cannot_be_called_are_left_out(self, value: str) -> None:
        assert uris(value, "<sip:2@b.example>") == ["sip:2@b.example"]

    def test_lose_the_headers_that_they_want_in_the_request(self) -> None:
        assert uris("<sip:1@a.example?Replaces=x>") == ["sip:1@a.example"]

    def test_keep_user_port_and_transport(self) -> None:
        assert uris("<sip:+44207;npdi@192.0.2.5:5070;transport=tcp>") == [
            "sip:+44207;npdi@192.0.2.5:5070;transport=tcp"
        ]


class TestRedirections:
    def test_give_the_contacts_one_after_the_other(self) -> None:
        redirections = Redirections()
        assert not redirections.has_left
        assert redirections.next() is None
        redirections.note(redirection("<sip:1@a.example>", "<sip:2@b.example>"))
        assert [str(redirections.next()), str(redirections.next()), redirections.next()] == [
            "sip:1@a.example",
            "sip:2@b.example",
            None,
        ]

    def test_what_a_contact_sends_us_on_to_comes_first(self) -> None:
        redirections = Redirections()
        redirections.note(redirection("<sip:1@a.example>", "<sip:2@b.example>"))
        redirections.next()
        redirections.note(redirection("<sip:3@c.example>"))
        assert [str(redirections.next()), str(redirections.next())] == ["sip:3@c.example", "sip:2@b.example"]

    def test_never_give_a_place_twice(self) -> None:
        redirections = Redirections()
        for _ in range(3):
            redirections.note(redirection("<sip:1@a.example>"))
        assert str(redirections.next()) == "sip:1@a.example"
        assert redirections.next() is None

    def test_come_to_an_end(self) -> None:
        redirections = Redirections()
        for number in range(20):
            redirections.note(redirection(f"<sip:{number}@a.example>"))
        given = [redirections.next() for _ in range(20)]
        assert [uri is not None for uri in given] == [True] * LIMIT + [False] * (20 - LIMIT)
        assert not redirections.has_left

    def test_are_forgotten_with_the_attempt(self) -> None:
        redirections = Redirections()
        redirections.note(redirection("<sip:1@a.example>", "<sip:2@b.example>"))
        redirections.next()
        assert redirections.is_sent_on
        redirections.begin()
        assert not redirections.has_left
        assert not redirections.is_sent_on
        redirections.note(redirection("<sip:1@a.example>"))
        assert redirections.has_left
