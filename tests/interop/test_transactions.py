"""What crosses, comes twice, or is lost (RFC 3261 §9, §13, §17): both sides are at peace, and the record is right."""

import socket

import pytest

from tests.support.interop import Play, Trunks, outcome
from tests.support.switch import Switch

ALL_BY_ITSELF = ("-nr",)
"""sipp repeats nothing, and takes what is repeated for what its file foresees."""

ANSWERED = ("ANSWERED", 200, "caller")
CANCELLED = ("CANCELLED", 487, "caller")


@pytest.mark.parametrize(
    ("caller", "carrier", "ended"),
    [
        ("caller", "carrier_forked", ANSWERED),
        ("caller", "carrier_repeats", ANSWERED),
        ("caller_loses_ack", "carrier", ANSWERED),
        ("caller_gives_up", "carrier_rings", CANCELLED),
        ("caller_gives_up", "carrier_answers_late", CANCELLED),
        ("caller_leaves_early", "carrier_rings", CANCELLED),
        ("caller_gives_up_early", "carrier_rings_late", CANCELLED),
        ("caller_gives_up_late", "carrier", ANSWERED),
    ],
)
def test_call_ends_as_it_should(
    switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str, ended: tuple[str, int, str]
) -> None:
    trunk = trunks.add()
    called = play(carrier, port=trunk.port, options=ALL_BY_ITSELF)
    play(caller, number=trunk.number, talk_ms=200, options=ALL_BY_ITSELF).wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ended
    assert record["destination_sent"] == trunk.number


def test_carrier_hears_each_request_once_when_the_caller_repeats_them(
    switch: Switch, trunks: Trunks, play: Play
) -> None:
    trunk = trunks.add()
    called = play("carrier_slow", port=trunk.port, options=ALL_BY_ITSELF)
    caller = play("caller_repeats", number=trunk.number, options=ALL_BY_ITSELF)
    caller.wait()
    called.wait()
    assert len([each for each in caller.messages() if each.is_sent and each.first_line.startswith("INVITE ")]) == 3
    assert [len(called.received(method)) for method in ("INVITE", "ACK", "BYE")] == [1, 1, 1]
    assert outcome(*switch.wait_for_records(1)) == ANSWERED


def test_invite_is_repeated_when_the_carrier_has_lost_it(switch: Switch, trunks: Trunks, play: Play) -> None:
    trunk = trunks.add()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", trunk.port))
        deaf.settimeout(5.0)
        caller = play("caller", number=trunk.number)
        lost = deaf.recv(65_536).decode()
    called = play("carrier", port=trunk.port)
    caller.wait()
    called.wait()
    (invite,) = called.received("INVITE")
    assert f"\r\nVia: {invite.first('via')}\r\n" in lost
    assert outcome(*switch.wait_for_records(1)) == ANSWERED
