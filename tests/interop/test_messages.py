"""Messages as others write them, from caller and carrier: the call goes through, and its record is right."""

import pytest

from tests.support.interop import Play, Trunks, numbers, outcome
from tests.support.switch import Switch

CALLERS = ["caller", "caller_compact", "caller_folded", "caller_lists", "caller_multipart", "caller_torture"]
CARRIERS = ["carrier_compact", "carrier_folded", "carrier_lists", "carrier_multipart"]


@pytest.mark.parametrize(
    ("caller", "carrier"), [(each, "carrier") for each in CALLERS] + [("caller", each) for each in CARRIERS]
)
def test_call_goes_through(switch: Switch, trunks: Trunks, play: Play, caller: str, carrier: str) -> None:
    trunk = trunks.add()
    called = play(carrier, port=trunk.port)
    calling = play(caller, number=trunk.number, keys={"rest": trunk.number[2:]})
    calling.wait()
    called.wait()
    (record,) = switch.wait_for_records(1)
    assert outcome(record) == ("ANSWERED", 200, "caller")
    assert numbers(record) == ("33123456789", trunk.number)
    # Each side has the session of the other, whatever it came in.
    (invite,), (answer, *_) = called.received("INVITE"), calling.received("INVITE", status=200)
    for message in (invite, answer):
        assert message.first("content-type") == "application/sdp"
        assert message.body.startswith("v=0\n")
        assert "\nm=audio 6000 RTP/AVP 8 0\n" in message.body
