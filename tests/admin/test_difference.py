"""Changes in words."""

from typing import Any

import pytest

from admin.difference import HIDDEN, Change, difference


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"status": "active"}, {"status": "suspended"}, [Change("Status", "active", "suspended")]),
        ({"name": "a", "company": "b"}, {"name": "a", "company": "c"}, [Change("Company", "b", "c")]),
        (None, {"id": 7, "with_media": True, "email": ""}, [Change("Call with media", "", "yes")]),
        ({"codecs": ["PCMA", "G729"]}, None, [Change("Codecs", "PCMA, G729", "")]),
        ({"max_sessions": 0}, {"max_sessions": None}, [Change("Maximum call sessions", "0", "")]),
        ({"ha1_md5": "changed"}, {"ha1_md5": "changed"}, [Change("Secret", "", "changed")]),
        ({"some_thing": {"a": 1, "b": False}}, {}, [Change("Some thing", "a 1, b no", "")]),
        (None, None, []),
    ],
)
def test_fields_that_differ_are_told(
    old: dict[str, Any] | None, new: dict[str, Any] | None, changes: list[Change]
) -> None:
    assert [(each.old, each.new) for each in difference(old, new, money=True)] == [
        (each.old, each.new) for each in changes
    ]
    titles = [each.title for each in difference(old, new, money=True)]
    assert [title.lower()[:4] for title in titles] == [each.title.lower()[:4] for each in changes]


@pytest.mark.parametrize("name", ["amount", "credit_limit", "max_credit_limit", "tariff", "decimals"])
def test_money_is_not_told_to_who_may_not_see_it(name: str) -> None:
    (change,) = difference({name: "4"}, {name: "5"}, money=False)
    assert (change.old, change.new) == (HIDDEN, HIDDEN)
    assert difference({name: "4"}, {name: "4"}, money=False) == []


def test_change_is_one_line_of_a_file() -> None:
    lines = [str(change) for change in difference({"name": "a", "pin": "1"}, {"name": "b"}, money=True)]
    assert lines[0] == "Name: a → b"
    assert lines[1].endswith(": 1 → none")
    assert str(Change("Name", "", "b")) == "Name: b"
