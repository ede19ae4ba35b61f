"""Header names and the multimap."""

import contextlib

import pytest
from hypothesis import given, settings

from b2bua.sip import headers
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import COMPACT_FORMS, Headers, canonical_name, known_names, written_name
from tests.support.sip import tokens, wire_text


class TestNames:
    """RFC 3261 §7.3.1 and §7.3.3."""

    @pytest.mark.parametrize(
        ("compact", "name"),
        [
            ("a", "accept-contact"), ("b", "referred-by"), ("c", "content-type"), ("d", "request-disposition"),
            ("e", "content-encoding"), ("f", "from"), ("i", "call-id"), ("j", "reject-contact"), ("k", "supported"),
            ("l", "content-length"), ("m", "contact"), ("n", "identity-info"), ("o", "event"), ("r", "refer-to"),
            ("s", "subject"), ("t", "to"), ("u", "allow-events"), ("v", "via"), ("x", "session-expires"),
            ("y", "identity"),
        ],
    )  # fmt: skip
    def test_compact_form_stands_for_its_header_in_either_case(self, compact: str, name: str) -> None:
        assert canonical_name(compact) == canonical_name(compact.upper()) == name

    def test_every_compact_form_is_known(self) -> None:
        assert sorted(COMPACT_FORMS) == list("abcdefijklmnorstuvxy")

    def test_name_is_folded_and_its_trailing_blanks_are_dropped(self) -> None:
        assert canonical_name("CALL-id \t") == "call-id"

    @pytest.mark.parametrize(
        "name", ["", " ", " From", "Fr om", "From\0", "Füße", "From\xa0", "\u212a", "a:b", "From\r"]
    )
    def test_name_is_refused_when_it_is_no_token(self, name: str) -> None:
        with pytest.raises(ParseError):
            canonical_name(name)

    @pytest.mark.parametrize(
        "name",
        ["Call-ID", "CSeq", "WWW-Authenticate", "Max-Forwards", "Via", "RAck", "RSeq", "Min-SE", "P-Asserted-Identity"],
    )
    def test_name_is_written_as_the_documents_do(self, name: str) -> None:
        assert written_name(canonical_name(name)) == name

    @given(tokens)
    def test_name_is_the_same_when_written_and_read_again(self, name: str) -> None:
        canonical = canonical_name(name)
        assert canonical_name(written_name(canonical)) == canonical

    def test_compact_forms_lead_to_long_names(self) -> None:
        assert not set(COMPACT_FORMS) & set(COMPACT_FORMS.values())

    @settings(deadline=None)
    @given(wire_text)
    def test_name_raises_only_parse_errors_when_given_any_text(self, text: str) -> None:
        with contextlib.suppress(ParseError):
            canonical_name(text)


class TestMemory:
    """Spellings are remembered, within a limit."""

    def test_spellings_are_not_remembered_when_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(headers, "_KNOWN_LIMIT", len(known_names))
        assert canonical_name("X-Never-Seen-Before") == "x-never-seen-before"
        assert "X-Never-Seen-Before" not in known_names

    def test_written_names_are_not_remembered_when_there_are_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(headers, "_KNOWN_LIMIT", 0)
        assert written_name("x-never-written-before") == "X-Never-Written-Before"
        assert "x-never-written-before" not in headers._written

    def test_spelling_is_not_remembered_when_long(self) -> None:
        name = "X" * 60_000
        assert canonical_name(name) == name.lower()
        assert name not in known_names


class TestMultimap:
    """RFC 3261 §7.3.1: headers of one name are in order."""

    def test_values_are_in_order_when_added(self) -> None:
        values = Headers()
        values.add("route", "a")
        values.add("route", "b")
        assert values == {"route": ["a", "b"]}
        assert values.first("route") == "a"

    def test_first_is_empty_when_there_is_none(self) -> None:
        assert Headers().first("route") == ""

    def test_replace_leaves_one_value(self) -> None:
        values = Headers({"route": ["a", "b"]})
        values.replace("route", "c")
        assert values == {"route": ["c"]}
