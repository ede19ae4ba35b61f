"""Requests within the dialogs of a call that are refused, or not answered (RFC 3261 §14, 5057)."""

import pytest

from b2bua.call.leg import ALLOW
from tests.b2bua.call.exchanges import (
    FROM_EITHER,
    T1_64,
    MakeRig,
    assert_ended,
    call_up,
    end,
    heard,
)
from tests.b2bua.call.rig import CALLER, SWITCH
from tests.support.legs import on_loop
from tests.support.talking import Judge, describe_audio


class TestRefusedBySwitch:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize(("method", "status"), [("SUBSCRIBE", 405), ("PUBLISH", 405), ("FOO", 501)])
    async def test_method_is_refused_when_we_do_not_have_it(
        self, make_rig: MakeRig, side: str, method: str, status: int
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say(method)
        assert (said.status, said.response.headers["allow"]) == (status, [ALLOW])
        assert far.heard == []
        assert near.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "MESSAGE"])
    async def test_extension_is_refused_when_it_is_required(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say(method, headers={"require": "gruu, foo"})
        assert (said.status, said.response.headers["unsupported"]) == (420, ["gruu, foo"])
        assert far.heard == []
        assert near.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    @pytest.mark.parametrize("kind", ["text/plain", "multipart/mixed;boundary=other", ""])
    async def test_body_is_refused_when_it_is_no_session_description(
        self, make_rig: MakeRig, side: str, method: str, kind: str
    ) -> None:
        _, near, far = call_up(make_rig, side)
        session = describe_audio(near.host, version=2)
        body = b"--b\r\nContent-Type: application/sdp\r\n\r\n" + session + b"\r\n--b--\r\n"
        said = near.say(method, body, {"content-type": kind} if kind else {})
        assert said.status == 415
        assert said.response.headers["accept"] == ["application/sdp"]
        assert far.heard == []

    @on_loop
    @FROM_EITHER
    async def test_request_is_refused_when_its_number_is_not_above_the_last(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        near.say("INFO", cseq=40)
        for method in ("INVITE", "UPDATE", "INFO", "MESSAGE"):
            assert near.say(method, cseq=39).status == 500  # §12.2.2
            assert near.say(method, cseq=40).status == 500
        assert len(far.heard) == 1
        near.leg.dialog.local_cseq = 90  # type: ignore[union-attr]  # a gap is no fault
        assert near.reinvite().status == 200
        assert [each.request.cseq for each in far.heard] == sorted({each.request.cseq for each in far.heard})
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "MESSAGE"])
    async def test_dialog_is_unknown_when_the_call_has_ended(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.hang_up(far)
        assert near.say(method).status == 481
        rig.wire.advance(1.0)
        rig.assert_nothing_is_left()


class TestGlare:
    @on_loop
    @FROM_EITHER
    async def test_second_side_is_refused_when_both_ask_at_once(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        first = near.reinvite(settles=False)
        second = far.reinvite(settles=False)
        rig.wire.settle()
        assert (first.status, second.status) == (200, 491)
        assert len(near.heard) == 0
        assert far.reinvite().status == 200  # it tries again later
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_both_are_refused_when_the_other_side_sees_glare_too(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.is_strict = near.is_strict = True
        first, second = near.reinvite(settles=False), far.reinvite(settles=False)
        rig.wire.settle()
        assert (first.status, second.status) == (491, 491)
        assert near.reinvite().status == far.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_side_is_refused_when_it_asks_again_before_it_is_answered(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        first, second = near.reinvite(), near.reinvite()
        assert (first.status, second.status) == (0, 500)  # §14.2
        assert 0 <= int(second.response.headers["retry-after"][0]) <= 10
        assert len(far.heard) == 1
        far.reply(heard(far))
        assert first.status == 200
        end(rig, near)

    @on_loop
    async def test_offer_is_refused_before_the_callers_ack(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER)
        rig.dial()
        assert carrier.reinvite().status == 491
        assert carrier.say("UPDATE", carrier.usual_session).status == 491
        assert rig.caller.heard == []
        rig.wire.advance(1.0)  # the 2xx is repeated, and acknowledged
        assert carrier.reinvite().status == 200
        end(rig, carrier)

    @on_loop
    async def test_offer_of_the_caller_is_refused_before_its_own_ack(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER)
        rig.dial()
        assert rig.caller.reinvite().status in (491, 500)
        assert carrier.heard == []
        rig.wire.advance(1.0)
        assert rig.caller.reinvite().status == 200
        end(rig, carrier)

    @on_loop
    @FROM_EITHER
    async def test_other_side_is_refused_while_the_ack_is_missing(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say("INVITE", near.usual_session, acknowledges=False)
        assert far.reinvite().status == 491
        near.acknowledge(said)
        assert far.reinvite().status == 200
        end(rig, near)


class TestRefusedByTheOtherSide:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("status", [403, 415, 422, 480, 486, 488, 491, 500, 503, 603])
    async def test_answer_is_passed_and_the_call_goes_on(self, make_rig: MakeRig, side: str, status: int) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = status
        assert near.reinvite().status == status
        assert len(rig.wire.requests("ACK", SWITCH, far.host)) >= 1
        far.statuses.clear()
        assert near.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("status", [401, 407, 420, 421, 494])
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_quarrel_with_us_is_no_quarrel_of_the_near_side(
        self, make_rig: MakeRig, side: str, status: int, method: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses[method] = status
        assert near.say(method, near.usual_session).status == 488
        far.statuses.clear()
        assert near.reinvite().status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_redirection_is_not_passed(self, make_rig: MakeRig, side: str) -> None:
        _, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 302
        assert near.reinvite().status >= 400

    @on_loop
    @pytest.mark.parametrize(
        ("method", "status", "name", "value"),
        [
            ("INVITE", 500, "retry-after", "7"),
            ("INVITE", 503, "retry-after", "7"),
            ("INVITE", 415, "accept", "application/sdp"),
            ("INFO", 469, "recv-info", "dtmf"),
        ],
    )
    async def test_what_would_be_accepted_is_passed(
        self, make_rig: MakeRig, method: str, status: int, name: str, value: str
    ) -> None:
        _, near, far = call_up(make_rig)
        far.statuses[method] = 0
        said = near.say(method, near.usual_session if method == "INVITE" else b"")
        far.reply(heard(far), status, headers={name: value})
        assert said.response.headers[name] == [value]

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("status", [408, 481])
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "MESSAGE"])
    async def test_call_ends_when_the_dialog_is_gone(
        self, make_rig: MakeRig, side: str, status: int, method: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses[method] = status
        said = near.say(method, near.usual_session if method in ("INVITE", "UPDATE") else b"")
        assert said.status == 481
        assert_ended(rig, "DIALOG_GONE", near)
        assert Judge(rig.wire, SWITCH).find_faults() == []
        assert rig.records()[0]["q850_cause"] == 102

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("status", [404, 410, 416, 482, 484, 485, 502, 604])
    async def test_call_ends_when_the_answer_destroys_the_dialog(
        self, make_rig: MakeRig, side: str, status: int
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = status
        near.reinvite()
        assert_ended(rig, "DIALOG_GONE", near)


class TestSilence:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE", "INFO", "MESSAGE"])
    async def test_call_ends_when_the_other_side_says_nothing(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose(method, SWITCH, 1000)
        said = near.say(method, near.usual_session if method in ("INVITE", "UPDATE") else b"")
        rig.wire.advance(T1_64 + 1.0)
        # §12.2.1.2. The near side's own timer F runs out at about the same time, so its answer may come too late.
        assert said.status in (408, 481) or said.is_timed_out
        assert_ended(rig, "DIALOG_GONE", near, far)
        assert Judge(rig.wire, SWITCH).find_faults() == []

    @on_loop
    @FROM_EITHER
    async def test_call_ends_when_an_invite_gets_no_more_than_100(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        rig.wire.advance(T1_64 + 1.0)
        assert said.status in (408, 481)
        assert heard(far).is_cancelled
        assert_ended(rig, "DIALOG_GONE", near, far)
        assert Judge(rig.wire, SWITCH).find_faults() == []

    @on_loop
    @FROM_EITHER
    async def test_call_goes_on_when_the_other_side_asks_its_user(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        far.reply(heard(far), 180)
        rig.wire.advance(T1_64 + 8.0)
        assert len(rig.driver.calls) == 1
        assert rig.wire.responses(180, SWITCH, near.host)[-1].method == "INVITE"
        far.reply(heard(far), 200)
        assert said.status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_request_is_taken_back_when_the_other_sides_user_does_not_answer(
        self, make_rig: MakeRig, side: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        far.reply(heard(far), 180)
        rig.wire.advance(179.0)
        assert not heard(far).is_cancelled
        rig.wire.advance(2.0)
        assert heard(far).is_cancelled
        assert said.status == 487
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_call_ends_when_the_other_side_falls_silent_while_it_asks(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        near.reinvite()
        far.reply(heard(far), 180)
        rig.wire.unreachable.add(far.host)
        rig.wire.advance(181.0 + T1_64)
        rig.wire.unreachable.clear()
        assert rig.driver.calls == {}

    @on_loop
    @FROM_EITHER
    async def test_call_goes_on_when_a_text_cannot_be_sent(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.unreachable.add(far.host)
        said = near.say("INFO")
        rig.wire.unreachable.clear()
        assert said.status == 503
        assert len(rig.driver.calls) == 1

    @on_loop
    @FROM_EITHER
    async def test_request_is_repeated_until_it_is_answered(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose("INVITE", SWITCH, 2)
        rig.wire.lose("200 INVITE", far.host, 1)
        rig.wire.lose("INVITE", near.host, 1)
        said = near.reinvite()
        rig.wire.advance(5.0)
        assert said.status == 200
        assert len(far.heard) == 1
        end(rig, near)
