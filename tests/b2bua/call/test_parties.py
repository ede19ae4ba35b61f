"""Who is on which side of a call, and the one session that each side goes on seeing (RFC 3264 §8)."""

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.events import Side
from b2bua.call.leg import NOBODY
from b2bua.call.parties import Parties
from tests.support.legs import Wire, WiredCaller, on_loop

HERE, THERE = "192.0.2.1", "203.0.113.1"


def session(version: int) -> bytes:
    return f"v=0\r\no=- 77 {version} IN IP4 {THERE}\r\ns=-\r\n".encode()


def origin(body: bytes) -> tuple[int, int]:
    """Session id and version."""
    parts = body.split(b"\no=")[1].split()
    return int(parts[1]), int(parts[2])


class Setting:
    """Two sides, and a leg that is yet to come."""

    def __init__(self) -> None:
        self.endpoint = WiredCaller(Wire(), HERE).endpoint
        self.parties = Parties(5, session(1))
        self.caller, self.callee, self.other = self.leg(), self.leg(), self.leg()
        self.parties.caller = self.caller  # type: ignore[assignment]
        self.parties.callee = self.callee

    def leg(self) -> CalleeLeg:
        flow = self.endpoint.flow_to("udp", THERE, 5060)
        assert flow is not None
        return CalleeLeg(self.endpoint, flow, NOBODY, "")


class TestSides:
    @on_loop
    async def test_each_leg_is_opposite_the_other(self) -> None:
        setting = Setting()
        parties = setting.parties
        assert parties.on(Side.CALLER) is setting.caller
        assert parties.opposite(setting.caller) is setting.callee
        assert parties.opposite(setting.callee) is setting.caller
        assert [parties.side_of(leg) for leg in (setting.caller, setting.callee)] == [Side.CALLER, Side.CALLEE]
        assert not isinstance(setting.caller, CallerLeg)

    @on_loop
    async def test_leg_that_takes_a_place_is_on_that_side(self) -> None:
        setting = Setting()
        parties = setting.parties
        parties.replace(Side.CALLER, setting.other)
        assert parties.opposite(setting.callee) is setting.other
        assert parties.side_of(setting.other) is Side.CALLER
        assert parties.is_replaced(Side.CALLER)
        assert not parties.is_replaced(Side.CALLEE)
        assert parties.legs == [setting.caller, setting.callee, setting.other]


class TestSessions:
    @on_loop
    async def test_last_word_of_each_side_is_kept(self) -> None:
        setting = Setting()
        parties = setting.parties
        parties.heard_from(session(8), setting.caller)
        parties.say(Side.CALLER, session(2))
        assert [parties.said(side) for side in Side] == [session(2), session(8)]

    @on_loop
    async def test_origin_is_ours_and_the_version_theirs(self) -> None:
        setting = Setting()
        assert origin(setting.parties.as_ours(session(8), setting.caller)) == (5, 8)
        assert setting.parties.as_ours(b"", setting.caller) == b""
        assert setting.parties.as_ours(session(8), None) == session(8)

    @on_loop
    async def test_versions_go_on_when_another_endpoint_describes_the_session(self) -> None:
        setting = Setting()
        parties = setting.parties
        parties.heard_from(session(40), setting.callee)
        parties.begin_anew(session(3), setting.callee)
        assert origin(parties.as_ours(session(3), setting.callee)) == (5, 41)
        assert origin(parties.as_ours(session(4), setting.callee)) == (5, 42)
        parties.heard_from(session(4), setting.callee)
        parties.begin_anew(session(1), setting.callee)
        assert origin(parties.as_ours(session(1), setting.callee)) == (5, 43)

    @on_loop
    async def test_versions_that_are_later_anyway_stay(self) -> None:
        setting = Setting()
        setting.parties.begin_anew(session(900), setting.callee)
        assert origin(setting.parties.as_ours(session(900), setting.callee)) == (5, 900)

    @on_loop
    async def test_leg_of_another_call_goes_on_seeing_the_session_of_that_one(self) -> None:
        old, new = Setting(), Setting()
        new.parties = Parties(9, session(2))
        old.parties.say(Side.CALLER, session(30))
        new.parties.take_callee(old.parties, old.callee)
        assert origin(new.parties.as_ours(session(2), old.callee)) == (5, 31)
