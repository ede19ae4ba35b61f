"""Texts of fields that are refused, and in which words."""

from decimal import Decimal
from typing import Any

import pytest

from b2bua.account import field
from b2bua.account.field import Fault, Read

GOOD: list[tuple[Read, str, Any]] = [
    (field.text("Name", 10), " A & B ".strip(), "A & B"),
    (field.whole("Term", 1, 30), "30", 30),
    (field.limit("Sessions"), "none", None),
    (field.limit("Sessions"), "0", 0),
    (field.amount("Amount"), "", Decimal(0)),
    (field.amount("Amount"), "12.5000000001", Decimal("12.5000000001")),
    (field.percent("Tax"), "7.5", Decimal("7.5")),
    (field.percent("Tax"), "", None),
    (field.minutes("Duration"), "1:30", 90),
    (field.minutes("Duration"), "120", 7200),
    (field.minutes("Duration"), "", None),
    (field.email("E-mail", 30), "a.b@example.com", "a.b@example.com"),
    (field.phone("Phone", takes_e164=False), "309 018-2000", "3090182000"),
    (field.phone("Phone", takes_e164=True), "+49 30 9018 2000", "+493090182000"),
    (field.codecs("Codecs"), "G729, PCMA", ("G729", "PCMA")),
    (field.network("Address"), "::ffff:192.0.2.1", "192.0.2.1/32"),
    (field.network("Address", needed=False), "", None),
    (field.switch("Media"), "", False),
    (field.switch("Media"), "yes", True),
    (field.pin("PIN"), "SW1A 1AA", "SW1A 1AA"),
]

BAD: list[tuple[Read, str, str]] = [
    (field.text("Name", 5), "", "Name is needed"),
    (field.text("Name", 5), "abcdef", "Name must have at most 5 characters; this has 6"),
    (field.text("Name", 5), "--", "Name must have a letter or a digit"),
    (field.text("Name", 5), "a\0b", "Name must have only letters, digits and signs"),
    (field.choice("Type", {"live": "LIVE", "demo": "DEMO"}), "x", "Type must be LIVE or DEMO"),
    (field.whole("Term", 1, 30), "31", "Term must be a whole number from 1 to 30"),
    (field.whole("Term", 1, 30), "", "Term is needed: a whole number from 1 to 30"),
    (field.whole("Term", 1, 30), "٣", "Term must be a whole number from 1 to 30"),
    (field.limit("Sessions", needed=True), "", "Sessions is needed: a whole number from 0, or none for no limit"),
    (field.limit("Sessions"), "-1", "Sessions must be a whole number from 0, or none for no limit"),
    (field.amount("Amount"), "1e9", "Amount must be an amount from 0, like 250.00"),
    (field.amount("Amount", above_zero=True), "0", "Amount must be an amount above 0, like 250.00"),
    (field.amount("Amount"), "1.00000000001", "Amount must be an amount from 0, like 250.00"),
    (field.percent("Tax"), "101", "Tax must be a percentage from 0 to 100, like 19 or 7.5"),
    (field.minutes("Duration"), "0", "Duration must be in minutes, like 120 or 1:30"),
    (field.email("E-mail", 30), "a@b", "E-mail must be an e-mail address of at most 30 "
     "characters, like anna@example.com"),
    (field.phone("Phone", takes_e164=False), "+493090182000", "Phone must be 10 digits, like 3090182000"),
    (field.pin("PIN"), "1", "PIN must have 3 to 10 letters or digits, like 10115 or SW1A 1AA"),
    (field.login("Web user name"), "a b", "Web user name must have 1 to 30 letters or digits, without spaces"),
    (field.password("Password"), "short", "Password must have 8 to 30 characters, needs a capital letter, needs a "
     "digit, needs a special character, like ! or #"),
    (field.switch("Media"), "maybe", "Media must be yes or no"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "typed", "value"), GOOD)
def test_good_text_becomes_its_value(read: Read, typed: str, value: Any) -> None:
    assert read(typed) == value


@pytest.mark.parametrize(("read", "typed", "words"), BAD)
def test_bad_text_is_told_what_would_be_right(read: Read, typed: str, words: str) -> None:
    with pytest.raises(Fault) as caught:
        read(typed)
    assert str(caught.value) == words


@pytest.mark.parametrize("typed", ["192.0.2.1/24", "fe80::1%eth0", "999", "name"])
def test_text_that_is_no_network_is_refused(typed: str) -> None:
    with pytest.raises(Fault, match="must be an IPv4 or IPv6 address"):
        field.network("IP address")(typed)


@pytest.mark.parametrize("seconds", [None, 30, 90, 7200])
def test_minutes_are_read_as_they_are_written(seconds: int | None) -> None:
    assert field.minutes("Duration")(field.show_minutes(seconds)) == seconds
