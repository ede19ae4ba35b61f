"""What caller and carrier ask of each other within a call: hold, late offers, UPDATE, INFO, MESSAGE, session timers."""

import pytest

from tests.interop.conftest import Play
from tests.support.interop import Trunks, outcome
from tests.support.switch import Switch


@pytest.mark.parametrize(
    ("caller", "carrier", "ended_by"),
    [
        ("caller_holds", "carrier_is_held", "caller"),
        ("caller_is_held", "carrier_holds", "callee"),
        ("caller_offers_late", "carrier_offers", "caller"),
        ("caller_talks", "carrier_listens", "caller"),
        ("caller_listens", "carrier_talks", "callee"),
        ("caller_in_a_hurry", "carrier", "caller"),
    ],
)
def test_other_side_gets_it_and_its_answer_comes_back(
    switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str, ended_by: str
) -> None:
    trunk = trunks.add()
    called = play(carrier, port=trunk.port)
    play(caller, number=trunk.number).wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ("ANSWERED", 200, ended_by)
