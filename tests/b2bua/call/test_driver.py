"""Calls through a whole driver, from the caller's INVITE to the record."""

from collections.abc import Callable

import pytest

from b2bua.sip.flow import Flow
from tests.b2bua.call.exchanges import T1_64
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.support import sip
from tests.support.legs import on_loop

MakeRig = Callable[..., Rig]


class TestAnsweredCall:
    @on_loop
    async def test_call_goes_through_when_the_carrier_answers(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.dial()
        assert rig.caller.is_answered.is_set()
        assert carrier.is_answered.is_set()
        assert rig.wire.labels(CALLER, SWITCH) == ["INVITE", "180 INVITE", "200 INVITE", "ACK"]
        assert rig.wire.labels(SWITCH, CARRIERS[0]) == ["INVITE", "180 INVITE", "200 INVITE", "ACK"]
        assert len(rig.driver.calls) == 1
        assert set(rig.store.taken.values()) == {1}
        assert len(rig.store.taken) == 3 + 2  # device, customer, reseller; carrier, gateway

    @on_loop
    @pytest.mark.parametrize("who", ["caller", "callee"])
    async def test_call_ends_on_both_sides_when_one_hangs_up(self, make_rig: MakeRig, who: str) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.dial()
        ends, other = (rig.caller, carrier) if who == "caller" else (carrier, rig.caller)
        rig.hang_up(ends)
        assert other.is_ended.is_set()
        assert other.hang_up_causes == [16]
        (record,) = rig.records()
        assert (record["code"], record["ended_by"], record["sip_code"], record["q850_cause"]) == (
            "ANSWERED", who, 200, 16,
        )  # fmt: skip
        assert record["is_last"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_answer_is_on_disk_when_the_caller_hears_of_it(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        noted = rig.note_lines_at("200 INVITE")
        rig.dial()
        assert noted == [["answered"]]

    @on_loop
    async def test_record_is_on_disk_when_byes_are_sent_and_answered(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        byes, answers = rig.note_lines_at("BYE"), rig.note_lines_at("200 BYE")
        rig.dial()
        rig.hang_up(rig.caller)
        assert byes == answers == [["answered", "cdr"]]

    @on_loop
    async def test_record_is_on_disk_when_the_refusal_is_sent(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(refuse=486, cause=17)
        noted = rig.note_lines_at("486 INVITE")
        rig.dial()
        assert noted == [["cdr"]]

    @on_loop
    async def test_legs_have_nothing_in_common(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        (theirs,), (ours,) = rig.wire.requests("INVITE", CALLER), rig.wire.requests("INVITE", SWITCH)
        assert theirs.call_id != ours.call_id
        assert theirs.from_tag != ours.from_tag
        assert len(ours.headers["via"]) == 1
        assert ours.headers["max-forwards"] == ["69"]
        assert ours.headers["from"][0].startswith(f"<sip:441234567890@{SWITCH}:5060>;tag=")
        assert ours.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert ours.headers["user-agent"] == ["softswitch"]
        assert CALLER not in ours.to_bytes().decode().replace(f"c=IN IP4 {CALLER}", "")

    @on_loop
    async def test_origin_of_the_session_is_ours_on_both_legs(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        offer = rig.wire.requests("INVITE", SWITCH)[0].body.decode()
        answer = rig.wire.responses(200, SWITCH, CALLER)[0].body.decode()
        session = int(next(iter(rig.driver.calls))[-12:], 16)
        for body, media in ((offer, CALLER), (answer, CARRIERS[0])):
            assert f"o=- {session} 1 IN IP4 {SWITCH}\r\n" in body
            assert f"c=IN IP4 {media}\r\n" in body  # the sound itself is bypassed

    @on_loop
    async def test_ack_is_repeated_when_the_carrier_repeats_its_answer(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.wire.lose("ACK", SWITCH)
        rig.dial()
        rig.wire.advance(1.0)
        assert rig.wire.labels(SWITCH, CARRIERS[0])[-2:] == ["200 INVITE", "ACK"]
        assert len(rig.wire.responses(200, SWITCH, CALLER)) == 1

    @on_loop
    async def test_both_sides_get_bye_when_the_caller_never_acknowledges(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER, 1000)
        rig.dial()
        rig.wire.advance(33.0)
        assert carrier.hang_up_causes == [102]
        assert rig.caller.hang_up_causes == [102]
        (record,) = rig.records()
        assert (record["ended_by"], record["reason"]) == ("system", "NO_ACK")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_route_of_the_caller_is_kept_when_a_proxy_records_itself(self, make_rig: MakeRig) -> None:
        # RFC 3261 §12.1.1
        rig = make_rig()
        carrier = rig.carrier()
        proxy = "<sip:198.51.100.50;lr>"
        contact = f"<sip:alice@{CALLER}:5060>"
        invite = sip.request(
            sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", changed={"Record-Route": proxy, "Contact": contact}
        )
        answer = rig.send(invite)
        assert (answer.status, answer.headers["record-route"]) == (200, [proxy])
        ack = sip.request("ACK", branch="z9hG4bKack", to_tag=answer.to_tag, uri=f"sip:{SWITCH}")
        rig.switch.receive(ack, Flow("udp", CALLER, 5060))
        rig.switch.end_of_turn()
        rig.wire.settle()
        rig.hang_up(carrier)
        (bye,) = rig.wire.requests("BYE", SWITCH)
        assert (bye.headers["route"], bye.uri) == ([proxy], f"sip:alice@{CALLER}:5060")

    @on_loop
    @pytest.mark.parametrize("label", ["200 INVITE", "ACK"])
    async def test_bye_waits_for_the_ack_when_the_callee_hangs_up_before(self, make_rig: MakeRig, label: str) -> None:
        # RFC 3261 §15
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose(label, SWITCH if label == "200 INVITE" else CALLER, 2)
        rig.dial()
        rig.hang_up(carrier)
        assert rig.wire.requests("BYE", SWITCH) == []
        assert len(rig.records()) == 1
        rig.wire.advance(2.0)
        assert rig.caller.is_answered.is_set()
        assert rig.wire.labels(CALLER, SWITCH)[-3:] == ["ACK", "BYE", "200 BYE"]
        assert rig.caller.hang_up_causes == [16]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_bye_is_sent_without_the_ack_when_none_comes(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER, 1000)
        rig.dial()
        rig.hang_up(carrier)
        rig.wire.advance(T1_64 - 1.0)
        assert rig.wire.requests("BYE", SWITCH) == []
        rig.wire.advance(2.0)
        assert rig.caller.hang_up_causes == [16]
        assert len(rig.records()) == 1
        rig.assert_nothing_is_left()

    @on_loop
    async def test_bye_is_not_sent_when_the_caller_hangs_up_meanwhile(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER, 1000)
        rig.dial()
        rig.hang_up(carrier)
        rig.hang_up(rig.caller)
        rig.wire.advance(60.0)
        assert rig.wire.requests("BYE", SWITCH) == []
        assert rig.wire.labels(CALLER, SWITCH)[-2:] == ["BYE", "200 BYE"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_bye_that_waits_is_sent_at_once_when_the_worker_stops(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.wire.lose("ACK", CALLER, 1000)
        rig.dial()
        rig.driver.hang_up_all("DRAINING")
        rig.driver.leave_dialogs()
        rig.switch.end_of_turn()
        rig.wire.settle()
        assert rig.caller.hang_up_causes == [31]
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("ends", ["operator", "caller"])
    async def test_late_offer_is_acknowledged_when_the_call_ends_before_the_callers_ack(
        self, make_rig: MakeRig, ends: str
    ) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.caller.offers_late = True
        rig.dial()
        if ends == "operator":
            rig.driver.hang_up_all("HANGUP_BY_OPERATOR")
            rig.wire.settle()
        else:
            rig.hang_up(rig.caller)
        assert rig.wire.labels(CARRIERS[0], SWITCH)[-3:] == ["ACK", "BYE", "200 BYE"]
        assert carrier.is_answered.is_set()

    @on_loop
    async def test_late_offer_is_answered_by_the_callers_ack(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        answer = b"v=0\r\no=bob 1 1 IN IP4 198.51.100.7\r\ns=-\r\n"
        rig.caller.offers_late = True
        rig.dial()
        assert rig.wire.requests("INVITE", SWITCH)[0].body == b""
        assert rig.wire.requests("ACK", SWITCH) == []
        assert rig.wire.responses(200, SWITCH)[0].body
        leg = rig.caller.leg
        leg.send_ack(answer)  # type: ignore[union-attr]
        rig.caller.endpoint.end_of_turn()
        rig.wire.settle()
        (ack,) = rig.wire.requests("ACK", SWITCH)
        assert ack.body.startswith(b"v=0\r\no=- ")
        assert SWITCH.encode() in ack.body


class TestFailover:
    @on_loop
    async def test_second_carrier_is_called_when_the_first_refuses(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        first, second = rig.records()
        assert (first["attempt"], first["is_last"], first["code"], first["sip_code"]) == (
            1, False, "CARRIER_FAILURE", 503,
        )  # fmt: skip
        assert (first["gateway_id"], second["gateway_id"]) == (1, 2)
        assert (second["attempt"], second["is_last"], second["code"], second["sip_code"]) == (2, True, "ANSWERED", 200)
        assert first["call_id"] == second["call_id"]
        assert first["b_call_id"] != second["b_call_id"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_caller_hears_one_ringing_and_another_tag_when_both_ring(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        rig.carrier(2)
        rig.dial()
        (ringing,) = rig.wire.responses(180, SWITCH)
        (answer,) = rig.wire.responses(200, SWITCH)
        assert ringing.to_tag != answer.to_tag

    @on_loop
    async def test_second_carrier_is_called_when_the_first_is_silent(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(2)
        rig.dial()
        assert not rig.caller.is_answered.is_set()
        rig.wire.advance(5.1)
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        first, _ = rig.records()
        assert (first["code"], first["sip_code"], first["q850_cause"]) == ("NO_RESPONSE", 504, 102)
        assert len(rig.wire.requests("CANCEL")) == 0
        rig.assert_nothing_is_left()

    @on_loop
    async def test_late_answer_of_the_first_is_ended_when_the_second_was_called(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        slow = rig.carrier(1, rings=False, answers=False)
        rig.carrier(2, answers=False)
        rig.wire.lose("100 INVITE", CARRIERS[0], 1000)
        rig.dial()
        rig.wire.advance(6.0)
        slow.leg.answer(slow.session)  # type: ignore[union-attr]
        slow.endpoint.end_of_turn()
        rig.wire.settle()
        assert slow.hang_up_causes == [16]
        assert not rig.caller.is_answered.is_set()
        assert rig.wire.responses(200, SWITCH, CALLER) == []

    @on_loop
    async def test_second_carrier_is_called_when_the_first_cannot_be_reached(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.wire.unreachable.add(CARRIERS[0])
        rig.carrier(2)
        rig.dial()
        assert rig.caller.is_answered.is_set()
        rig.hang_up(rig.caller)
        first, _ = rig.records()
        assert (first["code"], first["sip_code"], first["q850_cause"]) == ("TRANSPORT_FAILURE", 503, 38)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_nothing_is_left_when_no_listener_has_the_gateways_transport(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        for carrier in rig.snapshot.carriers.values():
            carrier.gateways[0].transport = "tcp"
        rig.dial()
        assert rig.caller.status == 503
        assert [record["code"] for record in rig.records()] == ["TRANSPORT_FAILURE", "TRANSPORT_FAILURE"]
        assert [record["is_last"] for record in rig.records()] == [False, True]
        # No timer of a call that is over either.
        assert rig.switch.wheel.count == 0
        rig.assert_nothing_is_left()

    @on_loop
    async def test_search_stops_when_the_first_is_busy(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=486, cause=17)
        rig.carrier(2)
        rig.dial()
        assert rig.caller.status == 486
        (answer,) = rig.wire.responses(486, SWITCH)
        assert answer.headers["reason"] == ['Q.850;cause=17;text="BUSY"']
        rig.assert_nothing_is_left()

    @on_loop
    async def test_each_attempt_has_a_record_when_no_carrier_has_a_session_for_the_second(
        self, make_rig: MakeRig
    ) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        second = rig.snapshot.carriers[2]
        second.max_sessions = 0
        rig.snapshot.link_carrier(second)
        rig.dial()
        first, last = rig.records()
        assert (first["attempt"], first["is_last"], first["code"]) == (1, False, "CARRIER_FAILURE")
        assert (last["attempt"], last["is_last"], last["code"], last["sip_code"], last["object"]) == (
            2, True, "CARRIER_LIMIT", 503, "carrier CARR0002",
        )  # fmt: skip
        assert (last["gateway_id"], last["b_call_id"], last["b_address"], last["ringing_at"]) == (None, "", "", None)
        rig.assert_nothing_is_left()

    @on_loop
    async def test_each_attempt_has_a_record_when_the_caller_cancels_between_them(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(1, answers=False)
        rig.dial()
        rig.store.is_slow = True
        carrier.leg.send_failure(503, 41, "", {})  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        rig.wire.settle()
        rig.caller.cancel()
        rig.wire.settle()
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        rig.store.is_slow = False
        rig.wire.settle()
        first, last = rig.records()
        assert (first["attempt"], first["is_last"], first["code"], first["sip_code"]) == (
            1, False, "CARRIER_FAILURE", 503,
        )  # fmt: skip
        assert (last["attempt"], last["is_last"], last["code"], last["sip_code"]) == (2, True, "CANCELLED", 487)
        rig.assert_nothing_is_left()


class TestCancel:
    @on_loop
    async def test_carrier_is_cancelled_when_the_caller_cancels(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.dial()
        rig.caller.cancel()
        rig.wire.settle()
        assert carrier.is_ended.is_set()
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        (record,) = rig.records()
        assert (record["code"], record["ended_by"], record["sip_code"], record["q850_cause"]) == (
            "CANCELLED", "caller", 487, 16,
        )  # fmt: skip
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("gives_up", ["the caller", "the switch"])
    async def test_nothing_is_left_when_the_carrier_never_answers_what_was_taken_back(
        self, make_rig: MakeRig, gives_up: str
    ) -> None:
        rig = make_rig()
        rig.carrier(answers=False)
        rig.dial()
        rig.wire.lose("CANCEL", SWITCH, 1000)
        if gives_up == "the caller":
            rig.caller.cancel()
            rig.wire.settle()
        else:
            rig.wire.advance(61.0)
        assert rig.wire.requests("CANCEL", SWITCH)
        rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("answers_waited_for", [1, 2])
    async def test_sessions_are_given_back_when_the_store_answers_after_the_cancel(
        self, make_rig: MakeRig, answers_waited_for: int
    ) -> None:
        rig = make_rig()
        rig.store.is_slow = True
        rig.dial()
        if answers_waited_for == 2:
            rig.store.is_slow = False
            rig.store.answer()
            rig.store.is_slow = True
        rig.wire.advance(0.2)  # 100 Trying: a caller cancels only what was answered
        rig.caller.cancel()
        rig.wire.settle()
        assert len(rig.wire.responses(487, SWITCH, CALLER)) == 1
        rig.store.is_slow = False
        rig.wire.settle()
        assert rig.wire.requests("INVITE", SWITCH) == []
        assert [record["code"] for record in rig.records()] == ["CANCELLED"]
        rig.assert_nothing_is_left()


class TestOrders:
    @on_loop
    async def test_call_ends_on_both_sides_when_it_is_ordered(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.dial()
        (call_id,) = rig.driver.calls
        assert rig.driver.hang_up(call_id, None, "HANGUP_BY_OPERATOR") == 1
        rig.wire.settle()
        assert rig.caller.hang_up_causes == carrier.hang_up_causes == [31]
        (record,) = rig.records()
        assert (record["ended_by"], record["reason"]) == ("system", "HANGUP_BY_OPERATOR")
        rig.assert_nothing_is_left()

    @on_loop
    async def test_nothing_ends_when_the_call_is_unknown(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        assert rig.driver.hang_up("0190", None, "HANGUP_BY_OPERATOR") == 0
        assert len(rig.driver.calls) == 1

    @on_loop
    @pytest.mark.parametrize(("account", "ended"), [(1, 1), (2, 1), (3, 0)])
    async def test_calls_of_an_account_end_with_those_below_it(
        self, make_rig: MakeRig, account: int, ended: int
    ) -> None:
        rig = make_rig()
        rig.carrier()
        rig.dial()
        assert rig.driver.hang_up(None, account, "ACCOUNT_SUSPENDED") == ended
        assert len(rig.driver.calls) == 1 - ended

    @on_loop
    @pytest.mark.parametrize(("answers", "status", "code"), [(True, 200, "ANSWERED"), (False, 503, "DRAINING")])
    async def test_every_call_ends_when_the_worker_stops(
        self, make_rig: MakeRig, answers: bool, status: int, code: str
    ) -> None:
        rig = make_rig()
        rig.carrier(answers=answers)
        rig.dial()
        assert rig.driver.hang_up_all("DRAINING") == 1
        rig.wire.settle()
        assert rig.caller.is_ended.is_set()
        assert [(record["sip_code"], record["code"]) for record in rig.records()] == [(status, code)]
        rig.assert_nothing_is_left()


class TestTimers:
    @on_loop
    async def test_caller_gets_480_when_it_rings_too_long(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.dial()
        rig.wire.advance(60.1)
        assert (rig.caller.status, carrier.is_ended.is_set()) == (480, True)
        assert [record["code"] for record in rig.records()] == ["RING_TIMEOUT"]
        rig.assert_nothing_is_left()

    @on_loop
    async def test_call_ends_when_its_longest_duration_is_reached(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.snapshot.accounts[1].max_duration = 90
        rig.dial()
        rig.wire.advance(89.9)
        assert len(rig.driver.calls) == 1
        rig.wire.advance(0.2)
        assert rig.caller.hang_up_causes == carrier.hang_up_causes == [102]
        (record,) = rig.records()
        assert (record["ended_by"], record["reason"]) == ("system", "MAX_DURATION")
        rig.assert_nothing_is_left()


class TestCounts:
    @on_loop
    async def test_records_and_invites_are_counted(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier(1, refuse=503)
        rig.carrier(2, refuse=486)
        rig.dial()
        assert rig.driver.counts == {"received": 1, "CARRIER_FAILURE": 1, "BUSY": 1}

    @on_loop
    async def test_calls_that_are_up_are_carried_into_the_next_segment(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.carrier()
        rig.carrier(2, answers=False)
        assert rig.driver.answered_lines() == []
        rig.dial()
        (line,) = rig.driver.answered_lines()
        assert line["kind"] == "answered"
