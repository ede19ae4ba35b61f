"""What can be banned by hand."""

import pytest

from b2bua.ban.source import InvalidSource, parse_source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:0DB8::0009", "2001:db8::9"),
    ],
)
def test_address_is_read_as_sockets_show_it(text: str, source: str) -> None:
    assert parse_source(text) == source


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "is not an address; give one"),
        ("host.example", "is not an address; give one"),
        ("203.0.113.0/24", "is a network; give one"),
        ("0.0.0.0", "not an address that anybody sends from"),
        ("ff02::1", "not an address that anybody sends from"),
    ],
)
def test_what_is_no_source_is_named(text: str, fault: str) -> None:
    with pytest.raises(InvalidSource, match=fault):
        parse_source(text)
