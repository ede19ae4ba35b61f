"""Calls whose media goes through a real engine: whatever describes a session, and whatever may end it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from b2bua.call.anchor import WAITING_LIMIT, Anchor, is_hidden
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.leg import Leg
from b2bua.call.recovery import end_lost
from cdr.journal import calls_up
from media.errors import MediaError, NoEngine
from tests.b2bua.call.anchoring import OURS, Anchoring, TalkingAnswerer, TalkingCaller, anchoring, place
from tests.b2bua.call.rig import CALLER, CARRIERS, DEVICE, OTHER, SWITCH, Rig
from tests.b2bua.call.test_driver_ringing import EarlyCarrier
from tests.b2bua.call.test_transfer import THIRD, escaped_replaces, notified, transfer
from tests.support.legs import on_loop
from tests.support.registrations import make_binding

MakeAnchoring = Callable[..., Anchoring]


@pytest.fixture
def make_anchoring(make_rig: Callable[..., Rig]) -> Iterator[MakeAnchoring]:
    """Make a rig with an engine, from inside a coroutine."""
    with ExitStack() as made:
        yield lambda **changes: made.enter_context(anchoring(make_rig(), **changes))


class Early(EarlyCarrier, TalkingAnswerer):
    """Lets the caller hear something before it answers."""


def connect(media: Anchoring, **how: Any) -> TalkingAnswerer:
    """A call that is up; both ends know where to send."""
    carrier = media.carrier(**how)
    media.rig.dial()
    assert media.caller.is_answered.is_set()
    learn(media, carrier)
    return carrier


def learn(media: Anchoring, carrier: TalkingAnswerer) -> None:
    carrier.end.learn(carrier.invites[-1].body)
    media.caller.end.learn(media.rig.wire.responses(200, SWITCH, CALLER)[-1].body)


class TestCall:
    @on_loop
    async def test_sound_passes_both_ways_and_all_is_given_back(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        rig = media.rig
        carrier = connect(media)
        (invite,), answer = carrier.invites, rig.wire.responses(200, SWITCH, CALLER)[0]
        for body, end in ((invite.body, media.caller.end), (answer.body, carrier.end)):
            address, port = place(body)
            assert address == OURS
            assert port != end.port
            assert f"IN IP4 {SWITCH}".encode() in body.partition(b"\r\ns=")[0]  # the origin is ours as ever
        await media.talk(media.caller.end, carrier.end)
        assert media.asked[0]["received from"] == ["IP4", CALLER]
        assert media.asked[1]["received from"] == ["IP4", CARRIERS[0]]
        rig.hang_up(media.caller)
        (record,) = rig.records()
        assert (record["code"], record["media_mode"], record["codec_used"]) == ("ANSWERED", "anchored", "PCMU")
        assert media.commands() == ["offer", "answer", "delete"]
        *_, ended, figures = rig.lines()  # they come when all is said
        assert [line["kind"] for line in (ended, figures)] == ["cdr", "media"]
        assert [figures[name] for name in ("call_id", "attempt")] == [record["call_id"], 1]
        assert [side[:2] for side in (figures["caller"], figures["callee"])] == [[4, 0], [4, 0]]
        media.assert_nothing_is_left()

    @on_loop
    async def test_goes_from_end_to_end_when_nobody_asks_for_media(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.customer.with_media = False
        carrier = connect(media)
        assert place(carrier.invites[0].body) == (OURS, media.caller.end.port)
        media.rig.hang_up(carrier)
        assert [record["media_mode"] for record in media.rig.records()] == ["bypass"]
        assert media.asked == []
        media.assert_nothing_is_left()

    @on_loop
    async def test_early_sound_is_heard(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier: Early = media.answerer(CARRIERS[0], Early, answers=False, rings=False)
        media.rig.dial()
        media.caller.end.learn(media.rig.wire.responses(183, SWITCH, CALLER)[0].body)
        carrier.end.learn(carrier.invites[0].body)
        await media.talk(media.caller.end, carrier.end)
        carrier.answer()
        assert media.commands() == ["offer", "answer", "answer"]
        answer = media.rig.wire.responses(200, SWITCH, CALLER)[0].body
        assert place(answer) == media.caller.end.target
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()

    @on_loop
    async def test_late_offer_is_the_callees(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.caller.offers_late = True
        carrier = media.carrier()
        media.rig.dial()
        media.caller.end.learn(media.rig.wire.responses(200, SWITCH, CALLER)[0].body)
        leg = media.caller.leg
        leg.send_ack(media.caller.end.sdp())  # type: ignore[union-attr]
        media.caller.endpoint.end_of_turn()
        media.rig.wire.settle()
        carrier.end.learn(media.rig.wire.requests("ACK", SWITCH)[0].body)
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_next_gateway_finds_the_callers_ports_as_they_were(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        first: Early = media.answerer(CARRIERS[0], Early, answers=False, rings=False)
        second = media.carrier(2)
        media.rig.dial()
        first.leg.send_failure(503, 41, "", {})  # type: ignore[union-attr]
        first.endpoint.end_of_turn()
        media.rig.wire.settle()
        assert media.caller.is_answered.is_set()
        early, late = (media.rig.wire.responses(status, SWITCH, CALLER)[0].body for status in (183, 200))
        assert place(early) == place(late)
        learn(media, second)
        await media.talk(media.caller.end, second.end)
        media.rig.hang_up(second)
        media.assert_nothing_is_left()

    @on_loop
    async def test_all_places_of_a_user_get_one_offer(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.register(
            *(make_binding(contact=f"sip:a@{host}", host=host, port=5060, source=host) for host in (DEVICE, OTHER))
        )
        desk = media.answerer(DEVICE, answers=False)
        home = media.answerer(OTHER)
        media.rig.dial("101")
        assert media.commands() == ["offer", "answer"]
        assert place(desk.invites[0].body) == place(home.invites[0].body)
        learn(media, home)
        await media.talk(media.caller.end, home.end)
        assert [request.method for request in media.rig.wire.requests("CANCEL", SWITCH, DEVICE)] == ["CANCEL"]
        media.rig.hang_up(home)
        media.assert_nothing_is_left()

    @on_loop
    async def test_hold_keeps_ports_and_direction(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = connect(media)
        held = carrier.end.sdp(extra="a=recvonly\n")
        carrier.describes = held
        said = media.caller.reinvite(media.caller.end.sdp(extra="a=sendonly\n"))
        assert said.status == 200
        (heard,) = carrier.heard
        assert b"a=sendonly" in heard.request.body
        assert b"a=recvonly" in said.response.body
        assert place(heard.request.body) == carrier.end.target
        assert place(said.response.body) == media.caller.end.target
        (call,) = media.engine.calls.values()
        assert call.holds == [True, True]
        carrier.describes = None
        assert carrier.say("UPDATE", carrier.end.sdp()).status == 200  # and off hold from the other side
        assert call.holds == [False, False]
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()


class TestWaiting:
    @on_loop
    async def test_nobody_is_called_when_the_caller_cancels_while_the_engine_is_asked(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring()
        carrier = media.carrier()
        media.is_slow = True
        media.rig.dial()
        media.rig.wire.advance(0.3)
        media.caller.cancel()
        media.rig.wire.settle()
        assert len(media.rig.wire.responses(487, SWITCH, CALLER)) == 1
        media.is_slow = False
        media.rig.wire.settle()
        assert carrier.invites == []
        assert media.commands()[-1] == "delete"
        assert [record["code"] for record in media.rig.records()] == ["CANCELLED"]
        media.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("how", ["cancel", "timer", "bye"])
    async def test_answer_that_waits_is_ended_when_the_call_is(self, make_anchoring: MakeAnchoring, how: str) -> None:
        media = make_anchoring()
        media.rig.gateway().ring_timeout = 20.0
        carrier = media.carrier(answers=False)
        media.rig.dial()
        media.is_slow = True
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        media.rig.wire.settle()
        assert not media.caller.is_answered.is_set()
        if how == "cancel":
            media.caller.cancel()
            media.rig.wire.settle()
        elif how == "timer":
            media.rig.wire.advance(20.5)
        else:
            assert carrier.leg is not None
            Leg.send_bye(carrier.leg, 16, "")  # impatient: it does not wait for the ACK
            carrier.endpoint.end_of_turn()
            media.rig.wire.settle()
        media.is_slow = False
        media.rig.wire.settle()
        assert len(media.rig.wire.responses(487 if how == "cancel" else 480, SWITCH, CALLER)) == 1
        assert len(media.rig.wire.requests("ACK", SWITCH, CARRIERS[0])) >= 1
        assert len(media.rig.wire.requests("BYE")) == 1
        media.assert_nothing_is_left()

    @on_loop
    async def test_offer_within_the_call_is_answered_when_it_is_taken_back_meanwhile(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring()
        carrier = connect(media)
        media.is_slow = True
        said = media.caller.reinvite()
        media.rig.wire.advance(0.3)
        media.caller.withdraw(said)
        media.is_slow = False
        media.rig.wire.settle()
        assert said.status == 487
        assert carrier.heard == []
        assert media.caller.reinvite().status == 200
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("leaves", ["caller", "callee"])
    @pytest.mark.parametrize("offers", [True, False])
    async def test_call_ends_while_an_answer_waits(
        self, make_anchoring: MakeAnchoring, leaves: str, offers: bool
    ) -> None:
        media = make_anchoring()
        carrier = connect(media)
        carrier.statuses["INVITE"] = 0
        said = media.caller.reinvite(None if offers else b"")
        media.is_slow = True
        carrier.reply(carrier.heard[0])
        media.rig.hang_up(media.caller if leaves == "caller" else carrier)
        media.is_slow = False
        media.rig.wire.settle()
        assert said.status == 487
        assert carrier.heard[0].acks
        media.assert_nothing_is_left()

    @on_loop
    async def test_offer_in_an_answer_is_asked_for_once_and_answered_by_the_ack(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring()
        carrier = connect(media)
        media.asked.clear()
        media.is_slow = True
        said = media.caller.say("INVITE", answer=media.caller.end.sdp(extra="a=sendonly\n"))
        media.rig.wire.advance(2.0)  # the 2xx comes again and again meanwhile
        media.is_slow = False
        media.rig.wire.settle()
        assert said.status == 200
        assert place(said.response.body) == media.caller.end.target
        ack = carrier.heard[0].acks[-1]
        assert b"a=sendonly" in ack.body
        assert place(ack.body) == carrier.end.target
        assert media.commands() == ["offer", "answer"]
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()

    @on_loop
    async def test_too_many_descriptions_of_one_call_are_refused(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        connect(media)
        media.is_slow = True
        (call,) = media.rig.driver.calls.values()
        heard: list[bytes | MediaError] = []
        anchor = call.anchor
        assert isinstance(anchor, Anchor)
        assert call.callee is not None
        for _ in range(WAITING_LIMIT + 2):
            anchor.offer(call.caller, call.callee, media.caller.end.sdp(), heard.append)
        assert [type(each) for each in heard] == [NoEngine]
        media.is_slow = False
        media.rig.wire.settle()
        assert len(heard) == WAITING_LIMIT + 2
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()


class TestEngineGone:
    @on_loop
    async def test_new_calls_are_refused(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = media.carrier()
        media.die()
        media.rig.dial()
        media.give_up()
        assert media.caller.status == 503
        (reason,) = media.rig.wire.responses(503, SWITCH, CALLER)[0].headers["reason"]
        assert reason.startswith("Q.850;cause=47")
        (record,) = media.rig.records()  # and no other gateway is tried
        assert (record["code"], record["object"]) == ("NO_MEDIA", "media engine")
        assert carrier.invites == []
        assert not media.rig.driver.has_media
        media.rig.dial()  # it is known by now
        assert [record["attempt"] for record in media.rig.records()] == [1, 0]
        media.give_up()
        media.rig.assert_nothing_is_left()

    @on_loop
    async def test_callee_is_let_go_when_its_answer_cannot_be_carried(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = media.carrier(answers=False)
        media.rig.dial()
        media.die()
        carrier.leg.answer(carrier.session)  # type: ignore[union-attr]
        carrier.endpoint.end_of_turn()
        media.rig.wire.settle()
        media.give_up()
        assert media.caller.status == 503
        assert carrier.is_ended.is_set()
        assert [record["code"] for record in media.rig.records()] == ["NO_MEDIA"]
        media.give_up()
        media.rig.assert_nothing_is_left()

    @on_loop
    async def test_offer_within_the_call_is_refused_and_the_call_goes_on(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = connect(media)
        media.die()
        said = media.caller.reinvite()
        media.give_up()
        assert said.status == 503
        assert carrier.heard == []
        assert media.caller.say("INFO", b"1").status == 200
        media.rig.hang_up(media.caller)
        media.give_up()
        assert [record["code"] for record in media.rig.records()] == ["ANSWERED"]
        media.rig.assert_nothing_is_left()

    @on_loop
    async def test_description_that_no_engine_can_use_is_the_callers_fault(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = connect(media)
        assert media.caller.reinvite(b"v=0\r\nm=audio x RTP/AVP 0\r\n").status == 488
        assert carrier.heard == []
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()


class TestSilence:
    @on_loop
    async def test_call_ends_when_nothing_is_heard_of_it(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring(timeout=30.0)
        carrier = connect(media)
        media.rig.wire.advance(100.0)
        media.look(time.monotonic() + 29.0)
        assert not carrier.is_ended.is_set()
        media.look(time.monotonic() + 31.0)
        assert media.caller.is_ended.is_set()
        assert carrier.is_ended.is_set()
        (record,) = media.rig.records()
        assert (record["reason"], record["ended_by"]) == ("MEDIA_TIMEOUT", "system")
        assert record["duration"] == pytest.approx(100.0)
        media.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize("repeats", [True, False])
    async def test_call_that_still_rings_goes_on(self, make_anchoring: MakeAnchoring, repeats: bool) -> None:
        media = make_anchoring(timeout=30.0)
        carrier: Early = media.answerer(CARRIERS[0], Early, answers=False, rings=False)
        media.rig.dial()
        media.look(time.monotonic() + 31.0)
        assert isinstance(carrier.leg, CallerLeg)
        carrier.leg.answer(carrier.session if repeats else b"")
        carrier.endpoint.end_of_turn()
        media.rig.wire.settle()
        assert media.caller.is_answered.is_set()
        assert bool(media.rig.wire.responses(200, SWITCH, CALLER)[0].body) is repeats
        media.look(time.monotonic() + 31.0)  # it is listened to again
        assert [record["reason"] for record in media.rig.records()] == ["MEDIA_TIMEOUT"]
        media.assert_nothing_is_left()


class TestTransfer:
    @on_loop
    async def test_callee_and_the_third_one_hear_each_other(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        rig = media.rig
        carrier = connect(media)
        rig.gateway().host = CARRIERS[2]
        third = media.carrier(3)
        assert transfer(media.caller).status == 202
        assert notified(media.caller)[-1] == "SIP/2.0 200 OK"
        (offered,) = [each for each in carrier.heard if each.request.method == "INVITE"]
        carrier.end.learn(offered.request.body)
        third.end.learn(third.invites[0].body)
        await media.talk(carrier.end, third.end)
        first = next(name for name in media.engine.calls if name.endswith(".1"))
        assert sorted(media.engine.calls) == sorted([first, *(n for n in rig.driver.calls if n != first[:-2])])
        assert carrier.say("UPDATE", carrier.end.sdp(extra="a=sendonly\n")).status == 200
        assert third.heard[-1].request.method == "UPDATE"
        rig.hang_up(third)
        assert carrier.is_ended.is_set()
        media.assert_nothing_is_left()

    @on_loop
    async def test_the_two_that_the_caller_talks_with_hear_each_other(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        rig = media.rig
        carrier = connect(media)
        rig.gateway().host = CARRIERS[2]
        third = media.carrier(3)
        rig.snapshot.devices.add("198.51.100.8/32", rig.device)
        line = TalkingCaller(rig.wire, "198.51.100.8")
        line.end = media.end()
        line.dial(SWITCH, THIRD)
        assert transfer(media.caller, replaces=escaped_replaces(line)).status == 202
        assert notified(media.caller)[-1] == "SIP/2.0 200 OK"
        assert line.is_ended.is_set()
        for agent in (carrier, third):
            (offered,) = [each for each in agent.heard if each.request.method == "INVITE"]
            agent.end.learn(offered.request.body)
        await media.talk(carrier.end, third.end)
        rig.hang_up(third)
        assert carrier.is_ended.is_set()
        media.assert_nothing_is_left()

    @on_loop
    async def test_third_one_hears_a_callee_that_has_moved(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = connect(media)
        media.rig.gateway().host = CARRIERS[2]
        third = media.carrier(3)
        carrier.end = media.end()
        transfer(media.caller)
        (offered,) = [each for each in carrier.heard if each.request.method == "INVITE"]
        carrier.end.learn(offered.request.body)
        third.end.learn([each for each in third.heard if each.request.method == "INVITE"][-1].request.body)
        await media.talk(carrier.end, third.end)
        assert all(call.offer.is_applied for call in media.engine.calls.values() if call.offer is not None)
        media.rig.hang_up(carrier)
        media.assert_nothing_is_left()

    @on_loop
    async def test_all_is_as_it_was_when_the_third_one_refuses(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        carrier = connect(media)
        media.rig.gateway().host = CARRIERS[2]
        media.carrier(3, refuse=486)
        transfer(media.caller)
        assert notified(media.caller)[-1] == "SIP/2.0 486 Busy Here"
        assert list(media.engine.calls) == list(media.rig.driver.calls)
        await media.talk(media.caller.end, carrier.end)
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_it_fails_when_no_engine_can_carry_it(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        connect(media)
        media.die()
        transfer(media.caller)
        media.give_up()
        assert notified(media.caller)[-1] == "SIP/2.0 503 Service Unavailable"
        media.rig.hang_up(media.caller)
        media.give_up()
        media.rig.assert_nothing_is_left()


class TestSuccessor:
    @on_loop
    async def test_takes_calls_of_a_lost_worker_from_the_engine(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        connect(media)
        media.rig.journal.flush(0.0)
        (lost,) = calls_up(media.rig.directory)
        assert lost["media"] == list(media.engine.calls)
        await end_lost(media.rig.switch, [lost], media.client)
        media.rig.wire.settle()
        assert media.engine.ports.used == 0
        media.rig.driver.hang_up_all("DRAINING")
        media.rig.wire.settle()


class TestBehindNAT:
    @pytest.mark.parametrize(
        ("address", "source", "hidden"),
        [
            ("10.0.0.7", "198.51.100.7", True),
            ("100.64.1.1", "198.51.100.7", True),
            ("fd00::7", "2001:db8::1", True),
            ("192.168.1.7", "192.168.2.1", True),
            ("192.168.1.7", "192.168.1.7", False),
            ("203.0.113.9", "198.51.100.7", False),
            ("192.168.1.7", "127.0.0.1", False),
            ("pbx.example", "198.51.100.7", False),
            ("", "198.51.100.7", False),
        ],
    )
    def test_address_that_is_not_the_source_is_hidden_when_it_is_private(
        self, address: str, source: str, hidden: bool
    ) -> None:
        assert is_hidden(address, source) is hidden

    @on_loop
    @pytest.mark.parametrize("where", ["session", "contact", "via"])
    @pytest.mark.parametrize("wanted", [True, False])
    async def test_caller_is_heard_whatever_its_account_says(
        self, make_anchoring: MakeAnchoring, where: str, wanted: bool
    ) -> None:
        media = make_anchoring(anchor_nat=wanted)
        media.rig.customer.with_media = False
        carrier = media.carrier()
        if where == "contact":
            media.caller.headers = {"contact": ["<sip:10.0.0.7>"]}
        elif where == "via":
            settings = media.caller.endpoint._settings
            media.caller.endpoint._settings = type(settings)(listen=settings.listen, advertise="10.0.0.7")
        else:
            media.caller.end.address = "10.0.0.7"
        media.rig.dial()
        (invite,) = carrier.invites
        assert (place(invite.body)[1] != media.caller.end.port) is wanted
        media.rig.hang_up(carrier)
        assert [record["media_mode"] for record in media.rig.records()] == ["anchored" if wanted else "bypass"]

    @on_loop
    async def test_telephone_is_heard_that_has_registered_so(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.customer.with_media = False
        media.rig.register(
            make_binding(contact="sip:a@10.0.0.9", host=DEVICE, port=5060, source=DEVICE, is_behind_nat=True)
        )
        desk = media.answerer(DEVICE)
        media.rig.dial("101")
        learn(media, desk)
        await media.talk(media.caller.end, desk.end)
        media.rig.hang_up(desk)
        media.assert_nothing_is_left()

    @on_loop
    async def test_call_goes_from_end_to_end_when_no_engine_is_there(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.customer.with_media = False
        media.caller.end.address = "10.0.0.7"
        carrier = media.carrier()
        media.die()
        media.rig.dial()
        media.give_up()
        assert media.caller.is_answered.is_set()
        assert place(carrier.invites[0].body) == ("10.0.0.7", media.caller.end.port)
        media.rig.hang_up(carrier)
        media.give_up()
        assert [record["media_mode"] for record in media.rig.records()] == ["bypass"]
        media.rig.assert_nothing_is_left()
