"""The forms of routes and entries."""

from datetime import time

import pytest
from pydantic import ValidationError

from b2bua.account.field import faults_of
from b2bua.routing.route import ENTRY_START, START, Entry, NewRoute, Route, entry_texts_of, texts_of

ENTRY = {**ENTRY_START, "carrier": "CARR0001"}


def test_route_is_shown_as_it_is_typed() -> None:
    for codes in ("", "none", "404,5xx"):
        form = Route.model_validate({**START, "failover_codes": codes, "zone": "Europe/Berlin"})
        texts = texts_of(form.columns())
        assert (texts["failover_codes"], Route.model_validate(texts)) == (codes, form)
    assert Route.model_validate(START).failover_codes is None


def test_entry_without_days_and_hours_counts_always() -> None:
    columns = Entry.model_validate(ENTRY).columns()
    assert (columns["days"], columns["hours_from"], columns["hours_until"]) == (127, "00:00", "00:00")
    assert not {"prefix", "carrier", "hours"} & set(columns)


def test_entry_is_shown_as_it_is_typed() -> None:
    typed = {**ENTRY, "prefix": "44", "days": "sat,sun", "hours": "22:00-06:00"}
    form = Entry.model_validate(typed)
    hours = {"hours_from": time(22), "hours_until": time(6)}
    assert entry_texts_of({**form.columns(), **hours, "prefix": "44", "carrier": "CARR0001"}) == typed


@pytest.mark.parametrize(
    ("form", "typed", "name", "words"),
    [
        (NewRoute, {"name": ""}, "name", "Name is needed"),
        (NewRoute, {"zone": "CET"}, "zone", "Time zone must be a time zone like UTC"),
        (NewRoute, {"failover_codes": "200"}, "failover_codes", "Failover codes must be SIP codes from 300"),
        (NewRoute, {"mode": "x"}, "mode", "Mode must be Least cost or Load sharing"),
        (Entry, {"prefix": "4a"}, "prefix", "Prefix must be digits"),
        (Entry, {"hours": "8-18"}, "hours", "Hours must be like 08:00-18:00"),
        (Entry, {"priority": "-1"}, "priority", "Priority must be a whole number from 0"),
    ],
)
def test_fault_stands_at_the_field_it_is_about(
    form: type[NewRoute | Entry], typed: dict[str, str], name: str, words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        form.model_validate({**START, **ENTRY, "name": "europe", **typed})
    assert words in faults_of(caught.value)[name]
