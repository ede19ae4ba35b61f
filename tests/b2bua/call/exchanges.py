"""Calls that are up, for the tests of what is said within them."""

from collections.abc import Callable

import pytest

from media.sdp import CodecList
from tests.b2bua.call.rig import CALLER, CARRIERS, SWITCH, Rig
from tests.support.legs import WiredAnswerer, WiredCaller
from tests.support.talking import Heard, Judge

MakeRig = Callable[..., Rig]
Agent = WiredCaller | WiredAnswerer

CARRIER = CARRIERS[0]
ELSEWHERE = {CALLER: "198.51.100.77", CARRIER: "203.0.113.77"}
"""Where a side goes on from, once it has said so."""
T1_64 = 32.0
FROM_EITHER = pytest.mark.parametrize("side", ["caller", "callee"])


def call_up(make_rig: MakeRig, side: str = "caller", **how: object) -> tuple[Rig, Agent, Agent]:
    """A call that is up, the side that asks first, and the other."""
    rig = make_rig(**how)
    carrier = rig.carrier()
    rig.dial()
    assert carrier.is_answered.is_set()
    return (rig, rig.caller, carrier) if side == "caller" else (rig, carrier, rig.caller)


def heard(agent: Agent) -> Heard:
    """The last request that an agent heard."""
    return agent.heard[-1]


def version_of(body: bytes) -> str:
    """Of the origin line."""
    return body.decode().split("\r\no=")[1].split()[2]


def origin_of(body: bytes) -> str:
    """The origin line."""
    (line,) = [line for line in body.decode().split("\r\n") if line.startswith("o=")]
    return line


def end(rig: Rig, agent: Agent) -> None:
    """One side hangs up; everything ended as it should."""
    rig.hang_up(agent)
    rig.wire.advance(1.0)
    assert Judge(rig.wire, SWITCH).find_faults() == []
    rig.assert_nothing_is_left()


def assert_ended(rig: Rig, reason: str, *agents: Agent) -> None:
    """The call was ended by the switch, which says why, and these were told."""
    (record,) = rig.records()
    assert (record["ended_by"], record["reason"], record["code"]) == ("system", reason, "ANSWERED")
    for agent in agents:
        assert agent.is_over
        assert agent.hang_up_causes == [102]
    rig.assert_nothing_is_left()


def listing(make_rig: MakeRig, side: str, *codecs: str) -> tuple[Rig, Agent, Agent]:
    """A call that is up, of a customer with a codec list."""
    rig = make_rig()
    rig.customer.codec_check, rig.customer.codecs = True, CodecList.of(codecs)
    carrier = rig.carrier(codecs=("PCMU", "PCMA", "telephone-event"))
    rig.dial()
    return (rig, rig.caller, carrier) if side == "caller" else (rig, carrier, rig.caller)
