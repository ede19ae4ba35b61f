"""The forms of DIDs: many numbers at once, and destinations."""

import pytest
from pydantic import ValidationError

from b2bua.account.field import Fault, faults_of
from b2bua.routing.did import DID, Destinations, NewDIDs, in_ranges, number_list, texts_of

READ = number_list("Numbers")


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        ("442079460000", ("442079460000",)),
        ("+44 20 7946 0000\r\n4420, 4420; 033", ("442079460000", "4420", "033")),
        ("098-102", ("098", "099", "100", "101", "102")),
        ("+4420-+4422", ("4420", "4421", "4422")),
    ],
)
def test_numbers_are_lines_and_ranges(typed: str, found: tuple[str, ...]) -> None:
    assert READ(typed) == found


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "are needed: one a line"),
        ("44x", "3 to 20 digits with the country code, not '44x'"),
        ("4420-44", "3 to 20 digits with the country code, not '44'"),
        ("4420-4419", "from the smaller to the larger"),
        ("999-1000", "both as long"),
        ("10000000000000000000-99999999999999999999", "at most 10,000 at a time"),
        ("44200\n" * 2001, "at most 2,000 lines"),
    ],
)
def test_fault_says_what_would_be_right(typed: str, words: str) -> None:
    with pytest.raises(Fault, match=words):
        READ(typed)


@pytest.mark.parametrize("typed", ["098-102", "4420", "4420, 4422-4423", "999, 1000"])
def test_ranges_are_written_as_they_are_read(typed: str) -> None:
    assert in_ranges(READ(typed)) == typed


def faults(**typed: str) -> dict[str, str]:
    try:
        Destinations.model_validate(typed)
    except ValidationError as error:
        return faults_of(error)
    return {}


@pytest.mark.parametrize(
    ("typed", "name", "words"),
    [
        ({"kind": "sip_user"}, "target", "Destination must be the name of a SIP user"),
        ({"kind": "number", "target": "abc"}, "target", "Destination must be a number with its country code"),
        ({"kind": "voice_mail", "target": "a"}, "kind", "Calls go to must be Nowhere, SIP user"),
        ({"failover_kind": "number", "failover_target": "1"}, "kind", "There is no failover without a destination"),
        (
            {"kind": "number", "target": "1", "failover_kind": "number", "failover_target": "1"},
            "failover_target",
            "another than the destination",
        ),
    ],
)
def test_destination_is_refused_when_it_cannot_be(typed: dict[str, str], name: str, words: str) -> None:
    assert words in faults(**typed)[name]


def test_destinations_come_in_their_order() -> None:
    form = Destinations.model_validate(
        {"kind": "ip_device", "target": "2001:db8::7", "failover_kind": "number", "failover_target": "+4420"}
    )
    assert form.wanted == [("target", "ip_device", "2001:db8::7"), ("failover_target", "number", "+4420")]
    assert Destinations.model_validate({}).wanted == []


def test_did_is_shown_as_it_is_typed() -> None:
    form = DID.model_validate({"account": "CUST0001", "channels": "0"})
    assert DID.model_validate(texts_of(form.model_dump())) == form
    assert set(faults_of_new()) == {"numbers"}


def faults_of_new() -> dict[str, str]:
    with pytest.raises(ValidationError) as caught:
        NewDIDs.model_validate({})
    return faults_of(caught.value)
