"""Sessions of both legs in a whole call: who refreshes, and what becomes of a call whose peer has gone (RFC 4028)."""

from collections.abc import Callable

import pytest

from tests.b2bua.call.exchanges import call_up
from tests.b2bua.call.rig import CALLER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


class TestCaller:
    @on_loop
    async def test_interval_that_is_too_short_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        changed = {"Session-Expires": "30", "Supported": "timer"}
        answer = rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:442079460000@{SWITCH}", changed=changed))
        assert (answer.status, answer.headers["min-se"]) == (422, ["90"])
        assert rig.records() == []

    @on_loop
    async def test_interval_that_is_no_number_is_refused(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        changed = {"Session-Expires": "soon"}
        answer = rig.send(sip.request(sent_by=f"{CALLER}:5060", uri=f"sip:442079460000@{SWITCH}", changed=changed))
        assert answer.status == 400


class TestRefresh:
    @on_loop
    @pytest.mark.parametrize("side", ["caller", "callee"])
    async def test_call_lives_on_when_its_peers_take_updates(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.advance(3000)
        updates = [each.request for each in (*near.heard, *far.heard) if each.request.method == "UPDATE"]
        assert updates
        assert all(not update.body for update in updates)
        assert len(rig.driver.calls) == 1
        rig.hang_up(near)
        (record,) = rig.records()
        assert record["reason"] == ""
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_ends_when_the_caller_has_gone(self, make_rig: MakeRig) -> None:
        rig, near, _ = call_up(make_rig, "caller")
        near.statuses["UPDATE"] = 0
        rig.wire.advance(1900)
        (record,) = rig.records()
        assert (record["ended_by"], record["reason"]) == ("system", "SESSION_EXPIRED")
        assert rig.driver.calls == {}
