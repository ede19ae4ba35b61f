"""Q.850 causes go both ways (RFC 3326), and into the record."""

import pytest

from tests.support.interop import Play, Trunks, outcome
from tests.support.switch import Switch


@pytest.mark.parametrize(
    ("caller", "carrier", "ended", "cause"),
    [
        ("caller_hears_503", "carrier_is_full", ("CARRIER_FAILURE", 503, "callee"), 34),
        ("caller_hears_486", "carrier_is_busy", ("BUSY", 486, "callee"), 17),
        ("caller_hears_cause", "carrier_hangs_up_with_cause", ("ANSWERED", 200, "callee"), 31),
        ("caller_hangs_up_with_cause", "carrier_hears_cause", ("ANSWERED", 200, "caller"), 27),
    ],
)
def test_other_side_and_the_record_have_the_cause(
    switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str, ended: tuple[str, int, str], cause: int
) -> None:
    trunk = trunks.add()
    called = play(carrier, port=trunk.port)
    play(caller, number=trunk.number).wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ended
    assert record["q850_cause"] == cause
