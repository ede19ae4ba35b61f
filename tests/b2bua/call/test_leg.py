"""Both kinds of legs against each other: a calling and an answering user agent on one wire (RFC 3261 §9, §13, §15)."""

import pytest

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.leg import ALLOW, NOBODY, contact_of
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import q850_cause
from tests.support.legs import Wire, WiredAnswerer, WiredCaller, on_loop

CALLER = "198.51.100.7"
CALLEE = "203.0.113.1"
SLOTS = 0.15
"""Deadlines are rounded up to slots of 10 ms each."""


class Pair:
    """A caller and a callee, and the wire between them."""

    def __init__(self, *, rings: bool = True, answers: bool = True, refuse: int = 0, cause: int = 0) -> None:
        self.wire = Wire()
        self.caller = WiredCaller(self.wire, CALLER)
        self.callee = WiredAnswerer(self.wire, CALLEE, rings=rings, answers=answers, refuse=refuse, cause=cause)

    def dial(self, transport: str = "udp") -> None:
        self.caller.dial(CALLEE, transport=transport)

    @property
    def caller_leg(self) -> CalleeLeg:
        """The caller's end, which is a user agent client."""
        assert isinstance(self.caller.leg, CalleeLeg)
        return self.caller.leg

    @property
    def callee_leg(self) -> CallerLeg:
        """The callee's end, which is a user agent server."""
        assert isinstance(self.callee.leg, CallerLeg)
        return self.callee.leg

    def answer(self) -> None:
        self.callee_leg.answer(self.callee.session)
        self.callee.endpoint.end_of_turn()
        self.wire.settle()

    def receive(self, data: bytes) -> None:
        """Something comes to the caller from the callee's address."""
        self.caller.endpoint.receive(data, Flow("udp", CALLEE, 5060))
        self.caller.endpoint.end_of_turn()
        self.wire.settle()


def retagged(response: Response, tag: str) -> bytes:
    """A copy of a response, from another branch behind a forking proxy."""
    copy = Response(response.status, response.reason, response.headers.copy(), response.body)  # type: ignore[arg-type]
    copy.headers["to"] = [response.headers["to"][0].replace(response.to_tag, tag)]
    return copy.to_bytes()


class TestCall:
    @on_loop
    @pytest.mark.parametrize("transport", ["udp", "tcp"])
    async def test_call_is_up_when_the_callee_answers(self, transport: str) -> None:
        pair = Pair()
        pair.dial(transport)
        assert pair.wire.labels() == ["INVITE", "180 INVITE", "200 INVITE", "ACK"]
        assert pair.caller.is_answered.is_set()
        assert pair.callee.is_answered.is_set()

    @on_loop
    async def test_request_is_complete_when_it_is_sent(self) -> None:
        pair = Pair()
        pair.dial()
        (invite,) = pair.wire.requests("INVITE")
        assert invite.uri == f"sip:442079460000@{CALLEE}:5060"
        assert invite.headers["contact"] == [f"<sip:{CALLER}:5060>"]
        assert invite.headers["content-type"] == ["application/sdp"]
        assert invite.headers["max-forwards"] == ["70"]
        assert invite.headers["allow"] == [ALLOW]
        assert invite.body == pair.caller.session
        assert invite.from_tag
        assert not invite.to_tag

    @on_loop
    async def test_answer_is_complete_when_it_is_sent(self) -> None:
        pair = Pair()
        pair.dial()
        ringing, answer = pair.wire.responses(180)[0], pair.wire.responses(200)[0]
        assert ringing.to_tag == answer.to_tag == pair.callee_leg.to_tag
        assert ringing.headers["contact"] == answer.headers["contact"] == [f"<sip:{CALLEE}:5060>"]
        assert answer.headers["content-type"] == ["application/sdp"]
        assert "content-type" not in ringing.headers
        assert answer.headers["allow"]
        assert answer.body == pair.callee.session

    @on_loop
    async def test_ack_has_the_number_of_the_invite(self) -> None:
        pair = Pair()
        pair.dial()
        (ack,) = pair.wire.requests("ACK")
        (invite,) = pair.wire.requests("INVITE")
        assert (ack.cseq, ack.call_id, ack.from_tag) == (invite.cseq, invite.call_id, invite.from_tag)
        assert ack.to_tag == pair.callee_leg.to_tag
        assert ack.via.branch != invite.via.branch
        assert ack.uri == f"sip:{CALLEE}:5060"

    @on_loop
    async def test_contact_names_the_transport_when_it_is_not_udp(self) -> None:
        pair = Pair()
        assert contact_of(pair.caller.endpoint, Flow("udp", CALLEE, 5060, 0)) == f"<sip:{CALLER}:5060>"
        assert contact_of(pair.caller.endpoint, Flow("tcp", CALLEE, 5060, 1)) == f"<sip:{CALLER}:5060;transport=tcp>"

    @on_loop
    async def test_server_header_is_there_only_when_it_is_set(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.callee_leg.user_agent = "softswitch"
        pair.answer()
        assert "server" not in pair.wire.responses(180)[0].headers
        assert pair.wire.responses(200)[0].headers["server"] == ["softswitch"]


class TestNextHop:
    """RFC 3261 §12.2.1.1: requests in a dialog go to the route set, else to the peer's Contact."""

    @on_loop
    async def test_ack_and_bye_go_to_the_contact_when_it_is_elsewhere(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        leg = pair.callee_leg
        leg.make_dialog().contact = "<sip:203.0.113.9:5060>"
        pair.answer()
        pair.caller.hang_up()
        pair.wire.settle()
        assert pair.wire.responses(200)[0].headers["contact"] == ["<sip:203.0.113.9:5060>"]
        assert [each.target for each in pair.wire.carried if each.label in ("ACK", "BYE")] == ["203.0.113.9"] * 2


class TestHangUp:
    """RFC 3261 §15."""

    @on_loop
    async def test_callee_hears_of_it_when_the_caller_hangs_up(self) -> None:
        pair = Pair()
        pair.dial()
        pair.caller.hang_up()
        pair.wire.settle()
        assert pair.wire.labels()[-2:] == ["BYE", "200 BYE"]
        assert pair.callee.hang_up_causes == [16]
        (bye,) = pair.wire.requests("BYE")
        assert (bye.cseq, bye.to_tag) == (2, pair.callee_leg.to_tag)

    @on_loop
    async def test_caller_hears_of_it_when_the_callee_hangs_up(self) -> None:
        pair = Pair()
        pair.dial()
        pair.callee.hang_up()
        pair.wire.settle()
        assert pair.wire.labels()[-2:] == ["BYE", "200 BYE"]
        assert pair.caller.hang_up_causes == [16]
        (bye,) = pair.wire.requests("BYE")
        assert (bye.from_tag, bye.to_tag) == (pair.callee_leg.to_tag, pair.wire.requests("INVITE")[0].from_tag)
        assert bye.uri == f"sip:{CALLER}:5060"

    @on_loop
    async def test_bye_names_cause_and_text(self) -> None:
        pair = Pair()
        pair.dial()
        pair.caller_leg.send_bye(102, "MAX_DURATION")
        pair.caller.endpoint.end_of_turn()
        pair.wire.settle()
        assert pair.wire.requests("BYE")[0].headers["reason"] == ['Q.850;cause=102;text="MAX_DURATION"']
        assert pair.callee.hang_up_causes == [102]

    @on_loop
    async def test_cause_is_unknown_when_the_bye_names_none(self) -> None:
        pair = Pair()
        pair.dial()
        dialog = pair.caller_leg.dialog
        assert dialog is not None
        pair.caller.endpoint.transactions.send_request(dialog.request("BYE"), dialog.flow, pair.wire.now, None)
        pair.caller.endpoint.end_of_turn()
        pair.wire.settle()
        assert pair.callee.hang_up_causes == [None]

    @on_loop
    async def test_bye_is_refused_when_it_is_out_of_order(self) -> None:
        # §12.2.2
        pair = Pair()
        pair.dial()
        dialog = pair.caller_leg.dialog
        assert dialog is not None
        bye = dialog.request("BYE", cseq=1)
        pair.caller.endpoint.transactions.send_request(bye, dialog.flow, pair.wire.now, None)
        pair.caller.endpoint.end_of_turn()
        pair.wire.settle()
        assert pair.wire.labels()[-1] == "500 BYE"
        assert pair.callee.hang_up_causes == []

    @on_loop
    async def test_nothing_is_sent_when_there_is_no_dialog(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        before = pair.wire.labels()
        pair.callee_leg.send_bye(16, "")
        pair.callee.endpoint.end_of_turn()
        assert pair.wire.labels() == before


class TestRefusal:
    @on_loop
    async def test_caller_hears_status_and_cause_when_the_callee_refuses(self) -> None:
        pair = Pair(refuse=486, cause=17)
        pair.dial()
        assert pair.wire.labels() == ["INVITE", "180 INVITE", "486 INVITE", "ACK"]
        assert pair.caller.status == 486
        (busy,) = pair.wire.responses(486)
        assert q850_cause(busy.headers) == 17

    @on_loop
    async def test_further_answers_are_ignored_when_the_call_is_refused(self) -> None:
        pair = Pair(refuse=486)
        pair.dial()
        before = pair.wire.labels()
        pair.callee_leg.send_failure(503, 41, "", {})
        pair.callee_leg.send_provisional(180, b"")
        pair.callee.endpoint.end_of_turn()
        assert pair.wire.labels() == before

    @on_loop
    async def test_provisional_is_ignored_when_the_call_is_answered(self) -> None:
        pair = Pair()
        pair.dial()
        before = pair.wire.labels()
        pair.callee_leg.send_provisional(180, b"")
        pair.callee_leg.send_failure(503, 41, "", {})
        pair.callee.endpoint.end_of_turn()
        assert pair.wire.labels() == before

    @on_loop
    async def test_extra_headers_are_sent_when_a_failure_has_some(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.callee_leg.send_failure(503, 42, "OVERLOAD", {"retry-after": "5"})
        pair.callee.endpoint.end_of_turn()
        pair.wire.settle()
        (refused,) = pair.wire.responses(503)
        assert refused.headers["retry-after"] == ["5"]
        assert refused.headers["reason"] == ['Q.850;cause=42;text="OVERLOAD"']

    @on_loop
    async def test_early_dialogs_differ_when_there_are_several_attempts(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        first = pair.callee_leg.to_tag
        pair.callee_leg.new_attempt()
        pair.callee_leg.send_provisional(183, b"v=0\r\n")
        pair.callee.endpoint.end_of_turn()
        pair.wire.settle()
        pair.answer()
        assert pair.wire.responses(180)[0].to_tag == first
        assert pair.wire.responses(183)[0].to_tag == pair.wire.responses(200)[0].to_tag != first


class TestRepeatedAnswer:
    """RFC 3261 §13.3.1.4: the 2xx is repeated until its ACK comes."""

    @on_loop
    async def test_callee_repeats_the_answer_when_the_ack_is_lost(self) -> None:
        pair = Pair()
        pair.wire.lose("ACK", CALLER)
        pair.dial()
        assert not pair.callee.is_answered.is_set()
        pair.wire.advance(0.6)
        assert pair.callee.is_answered.is_set()
        pair.wire.advance(40.0)
        assert [each.label for each in pair.wire.carried[2:]] == ["200 INVITE", "ACK", "200 INVITE", "ACK"]
        first, second = (each.data for each in pair.wire.carried if each.label == "ACK")
        assert first == second

    @on_loop
    async def test_callee_repeats_the_answer_when_it_is_lost(self) -> None:
        pair = Pair()
        pair.wire.lose("200 INVITE", CALLEE, 2)
        pair.dial()
        pair.wire.advance(2.0)
        answers = [each.at for each in pair.wire.carried if each.label == "200 INVITE"]
        assert answers == pytest.approx([0.0, 0.5, 1.5], abs=SLOTS)
        assert pair.caller.is_answered.is_set()
        assert pair.callee.is_answered.is_set()

    @on_loop
    async def test_callee_gives_up_after_64_t1_when_no_ack_comes(self) -> None:
        pair = Pair()
        pair.wire.lose("ACK", CALLER, 1000)
        pair.dial()
        pair.wire.advance(31.8)
        assert not pair.callee.is_ended.is_set()
        answers = [each.at for each in pair.wire.carried if each.label == "200 INVITE"]
        assert answers == pytest.approx([0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5], abs=SLOTS)
        pair.wire.advance(0.4)
        assert pair.callee.is_ended.is_set()
        pair.wire.advance(60.0)
        assert len([each for each in pair.wire.carried if each.label == "200 INVITE"]) == 11

    @on_loop
    async def test_ack_is_heard_once_when_it_comes_twice(self) -> None:
        pair = Pair()
        pair.dial()
        heard: list[bytes] = []
        pair.callee.caller_acknowledged = lambda body: heard.append(body)  # type: ignore[method-assign]  # noqa: PLW0108
        pair.callee_leg.receive_ack(pair.wire.requests("ACK")[0])
        assert heard == []

    @on_loop
    async def test_answer_is_repeated_over_tcp_too_when_the_ack_is_lost(self) -> None:
        # RFC 3261 §13.3.1.4: "regardless of the transport", since it is end to end
        pair = Pair()
        pair.wire.lose("ACK", CALLER)
        pair.dial("tcp")
        pair.wire.advance(0.6)
        assert pair.wire.labels().count("200 INVITE") == 2

    @on_loop
    async def test_answer_is_not_repeated_when_the_leg_is_stopped(self) -> None:
        pair = Pair()
        pair.wire.lose("ACK", CALLER, 1000)
        pair.dial()
        pair.callee_leg.stop()
        pair.wire.advance(60.0)
        assert pair.wire.labels().count("200 INVITE") == 1


class TestCancel:
    """RFC 3261 §9.1."""

    @on_loop
    async def test_call_is_cancelled_when_it_rings(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.caller.cancel()
        pair.wire.settle()
        assert pair.wire.labels() == ["INVITE", "180 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"]
        (invite,), (cancel,) = pair.wire.requests("INVITE"), pair.wire.requests("CANCEL")
        assert cancel.via.branch == invite.via.branch
        assert (cancel.uri, cancel.cseq, cancel.call_id) == (invite.uri, invite.cseq, invite.call_id)
        assert cancel.headers["from"] == invite.headers["from"]
        assert cancel.headers["to"] == invite.headers["to"]

    @on_loop
    async def test_cancel_waits_until_a_provisional_answer_comes(self) -> None:
        pair = Pair(rings=False, answers=False)
        pair.dial()
        pair.caller.cancel()
        assert pair.wire.labels() == ["INVITE"]
        pair.wire.advance(0.2)  # then the callee's 100 is due
        assert pair.wire.labels() == ["INVITE", "100 INVITE", "CANCEL", "200 CANCEL", "487 INVITE", "ACK"]

    @on_loop
    async def test_invite_is_not_repeated_when_it_was_given_up_unanswered(self) -> None:
        pair = Pair()
        pair.wire.lose("INVITE", CALLER, 1000)
        pair.dial()
        pair.caller.cancel()
        pair.wire.advance(60.0)
        assert len(pair.wire.requests("INVITE")) == 1
        assert pair.caller.endpoint.transactions.count == 0

    @on_loop
    async def test_cancel_is_sent_once_when_several_provisional_answers_come(self) -> None:
        pair = Pair(answers=False)
        pair.callee.cancelled = lambda: None  # type: ignore[method-assign]
        pair.dial()
        pair.caller.cancel()
        pair.wire.settle()
        pair.receive(pair.wire.responses(180)[0].to_bytes())
        assert len(pair.wire.requests("CANCEL")) == 1

    @on_loop
    async def test_nothing_is_cancelled_when_the_call_was_refused(self) -> None:
        pair = Pair(refuse=486)
        pair.dial()
        pair.caller.cancel()
        pair.wire.advance(60.0)
        assert pair.wire.requests("CANCEL") == []

    @on_loop
    async def test_answer_is_acknowledged_and_ended_when_it_crosses_the_cancel(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.wire.lose("CANCEL", CALLER, 1000)
        pair.caller.cancel()
        pair.answer()
        assert pair.wire.labels(CALLER, CALLEE)[2:] == ["200 INVITE", "ACK", "BYE", "200 BYE"]
        assert pair.callee.hang_up_causes == [16]
        assert not pair.caller.is_answered.is_set()

    @on_loop
    async def test_answer_is_ended_when_it_comes_after_silence(self) -> None:
        pair = Pair(rings=False, answers=False)
        pair.wire.lose("100 INVITE", CALLEE, 1000)
        pair.dial()
        pair.caller.cancel()
        pair.wire.advance(10.0)
        pair.answer()
        assert pair.wire.labels(CALLER, CALLEE) == ["INVITE", "200 INVITE", "ACK", "BYE", "200 BYE"]

    @on_loop
    async def test_giving_up_twice_is_giving_up_once(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.caller.cancel()
        pair.caller.cancel()
        pair.wire.settle()
        assert len(pair.wire.requests("CANCEL")) == 1


class TestFork:
    """RFC 3261 §13.2.2.4: each 2xx makes a dialog; those that nobody wants are acknowledged and ended."""

    @on_loop
    async def test_second_answer_is_ended_when_the_call_was_forked(self) -> None:
        pair = Pair()
        pair.dial()
        pair.receive(retagged(pair.wire.responses(200)[0], "fork2"))
        ack, bye = pair.wire.requests("ACK")[-1], pair.wire.requests("BYE")[-1]
        assert (ack.to_tag, bye.to_tag) == ("fork2", "fork2")
        assert (ack.cseq, bye.cseq) == (1, 2)

    @on_loop
    async def test_second_answer_is_ended_once_when_it_is_repeated(self) -> None:
        pair = Pair()
        pair.dial()
        pair.wire.lose("BYE", CALLER, 1000)  # the callee does not know that dialog
        for _ in range(3):
            pair.receive(retagged(pair.wire.responses(200)[0], "fork2"))
        acks = [ack for ack in pair.wire.requests("ACK") if ack.to_tag == "fork2"]
        assert len({ack.to_bytes() for ack in acks}) == 1
        assert len(acks) == 3
        assert len(pair.wire.requests("BYE")) == 1

    @on_loop
    async def test_number_of_second_answers_is_bounded(self) -> None:
        pair = Pair()
        pair.dial()
        pair.wire.lose("BYE", CALLER, 1000)
        for number in range(30):
            pair.receive(retagged(pair.wire.responses(200)[0], f"fork{number}"))
        assert len(pair.wire.requests("BYE")) == 20

    @on_loop
    async def test_late_answer_is_ended_once_when_it_is_repeated(self) -> None:
        pair = Pair(answers=False)
        pair.dial()
        pair.wire.lose("CANCEL", CALLER, 1000)
        pair.wire.lose("ACK", CALLER, 2)
        pair.wire.lose("BYE", CALLER, 3)
        pair.caller.cancel()
        pair.answer()
        pair.wire.advance(5.0)
        assert pair.wire.labels().count("ACK") == 1
        assert len({bye.via.branch for bye in pair.wire.requests("BYE", CALLER)}) == 1
        assert pair.callee.hang_up_causes == [16]

    @on_loop
    async def test_first_dialog_goes_on_when_a_second_answer_was_ended(self) -> None:
        pair = Pair()
        pair.dial()
        pair.wire.lose("BYE", CALLER)  # that of the second dialog, which the callee does not know
        pair.receive(retagged(pair.wire.responses(200)[0], "fork2"))
        pair.caller.hang_up()
        pair.wire.settle()
        bye = pair.wire.requests("BYE", CALLER)[-1]
        assert bye.to_tag == pair.callee_leg.to_tag

    @on_loop
    async def test_answer_is_acknowledged_again_when_it_is_repeated(self) -> None:
        pair = Pair()
        pair.dial()
        pair.receive(pair.wire.responses(200)[0].to_bytes())
        assert pair.wire.labels().count("ACK") == 2
        assert pair.wire.requests("BYE") == []

    @on_loop
    async def test_answer_is_not_acknowledged_when_its_own_ack_is_still_to_come(self) -> None:
        # An offer in the 2xx is answered by the ACK, and that is the caller's to say.
        pair = Pair()
        pair.caller.offers_late = True
        pair.dial()
        pair.wire.advance(0.6)
        assert pair.wire.labels().count("200 INVITE") == 2
        assert pair.wire.requests("ACK") == []
        pair.caller_leg.send_ack(b"v=0\r\n")
        pair.caller.endpoint.end_of_turn()
        pair.wire.settle()
        (ack,) = pair.wire.requests("ACK")
        assert ack.headers["content-type"] == ["application/sdp"]
        assert pair.callee.is_answered.is_set()


class TestUnreachable:
    @on_loop
    async def test_caller_hears_of_it_when_the_network_refuses(self) -> None:
        pair = Pair()
        codes: list[str] = []
        pair.caller.callee_unreachable = lambda leg, code: codes.append(code)  # type: ignore[method-assign]
        pair.wire.unreachable.add(CALLEE)
        pair.dial()
        assert len(codes) == 1

    @on_loop
    async def test_caller_hears_of_it_when_nobody_answers_in_64_t1(self) -> None:
        pair = Pair()
        pair.wire.lose("INVITE", CALLER, 1000)
        pair.dial()
        pair.wire.advance(31.9)
        assert not pair.caller.is_ended.is_set()
        pair.wire.advance(0.2)
        assert pair.caller.is_ended.is_set()

    @on_loop
    async def test_nobody_hears_of_it_when_the_call_was_given_up(self) -> None:
        pair = Pair()
        pair.wire.lose("INVITE", CALLER, 1000)
        pair.dial()
        pair.caller.cancel()
        pair.wire.advance(40.0)
        assert not pair.caller.is_ended.is_set()


class TestNobody:
    @on_loop
    async def test_late_messages_change_nothing_when_the_call_is_gone(self) -> None:
        pair = Pair()
        pair.dial()
        pair.callee_leg.user = NOBODY
        pair.caller_leg.user = NOBODY
        pair.caller_leg.receive_response(pair.wire.responses(200)[0])
        pair.caller.hang_up()
        pair.wire.settle()
        assert pair.wire.labels()[-1] == "200 BYE"
        assert pair.callee.hang_up_causes == []

    @on_loop
    async def test_nobody_takes_all_that_a_call_takes(self) -> None:
        pair = Pair()
        pair.dial()
        response = pair.wire.responses(200)[0]
        NOBODY.caller_acknowledged(b"")
        NOBODY.caller_is_gone()
        NOBODY.callee_responded(pair.caller_leg, response)
        NOBODY.callee_unreachable(pair.caller_leg, "NO_RESPONSE")
        NOBODY.leg_hung_up(pair.callee_leg, 16)


class TestKey:
    @on_loop
    async def test_key_is_what_requests_of_the_peer_carry(self) -> None:
        pair = Pair()
        pair.dial()
        pair.caller.hang_up()
        pair.wire.settle()
        bye = pair.wire.requests("BYE")[0]
        assert isinstance(bye, Request)
        assert pair.callee_leg.key == (bye.call_id, bye.to_tag)
