"""Digits and encryption of whole calls: each side is spoken to as it wants, through a real engine."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from b2bua.call.digits import read_digit
from b2bua.policy.media_wishes import MediaWishes
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from media.description import parse
from media.ng import Message
from media.telephone_event import events_of
from tests.b2bua.call.anchoring import Anchoring, TalkingAnswerer, TalkingCaller, anchoring
from tests.b2bua.call.rig import CALLER, SWITCH, Rig
from tests.media.descriptions import description
from tests.media.secure import SecureEnd, keys_of
from tests.media.test_digits import digit, listed, plain
from tests.media.test_dtmf import event, parts
from tests.support.legs import on_loop
from tests.support.media import until

MakeAnchoring = Callable[..., Anchoring]
RELAY = {"content-type": "application/dtmf-relay"}


@pytest.fixture
def make_anchoring(make_rig: Callable[..., Rig]) -> Iterator[MakeAnchoring]:
    """Make a rig with an engine that nobody's account asks for, from inside a coroutine."""
    with ExitStack() as made:

        def make(**wishes: str) -> Anchoring:
            media = made.enter_context(anchoring(make_rig()))
            media.rig.customer.with_media = False
            media.rig.gateway().media = MediaWishes(**wishes)
            return media

        yield make


class PlainAnswerer(TalkingAnswerer):
    """A carrier that knows no telephone-events."""

    @property
    def session(self) -> bytes:
        return plain(self.end)


def connect(media: Anchoring, kind: type[TalkingAnswerer] = TalkingAnswerer) -> TalkingAnswerer:
    carrier: TalkingAnswerer = media.answerer("203.0.113.1", kind)
    media.rig.dial()
    assert media.caller.is_answered.is_set()
    carrier.end.learn(carrier.invites[-1].body)
    media.caller.end.learn(answer_of(media))
    return carrier


def without_events(media: Anchoring) -> bytes:
    """A description of the caller, which knows no telephone-events."""
    end = media.caller.end
    return description(end.address, end.port, media=f"m=audio {end.port} RTP/AVP 0\n")


def answer_of(media: Anchoring) -> bytes:
    return media.rig.wire.responses(200, SWITCH, CALLER)[-1].body


def infos(media: Anchoring, target: str) -> list[Request]:
    return media.rig.wire.requests("INFO", SWITCH, target)


def secure(media: Anchoring, caller: TalkingCaller) -> SecureEnd:
    end = caller.end = SecureEnd()
    media.ends.append(end)
    return end


def info(content_type: str, body: bytes) -> Request:
    return Request("INFO", "sip:x@y", Headers({"content-type": [content_type]}), body)


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/dtmf-relay", b"Signal=5\r\nDuration=250\r\n", ("5", 250)),
        ("application/dtmf-relay", b"signal = #\nduration = 80", ("#", 80)),
        ("application/dtmf-relay; charset=utf-8", b"Signal=10\r\n", ("*", 160)),
        ("APPLICATION/DTMF", b"d\r\n", ("D", 160)),
        ("application/dtmf", b"12\r\n", ("A", 160)),
        ("application/dtmf", b"", None),
        ("application/dtmf-relay", b"Signal=16\r\n", None),
        ("application/dtmf-relay", b"Duration=5", None),
        ("text/plain", b"5", None),
    ],
)
def test_digit_of_an_info_is_read(content_type: str, body: bytes, expected: tuple[str, int] | None) -> None:
    assert read_digit(info(content_type, body)) == expected


class TestEvents:
    @on_loop
    async def test_digit_by_info_reaches_a_gateway_that_wants_events_in_the_sound(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring(dtmf="telephone-event")
        media.caller.end.sdp = lambda **_: without_events(media)  # type: ignore[method-assign]
        carrier = connect(media)
        assert listed(carrier.invites[0].body) == {101: 8000}
        assert listed(answer_of(media)) == {}
        await media.talk(media.caller.end, carrier.end)
        assert media.caller.say("INFO", b"Signal=7\r\nDuration=80\r\n", RELAY).status == 200
        assert infos(media, "203.0.113.1") == []
        found = [parts(data) for data in await digit(carrier.end)]
        assert {each[4] for each in found if each[1] == 101} == {7}
        # What is no digit goes along as ever, and the gateway's own too.
        assert media.caller.say("INFO", b"hello", {"content-type": "text/plain"}).status == 200
        assert [request.body for request in infos(media, "203.0.113.1")] == [b"hello"]
        assert carrier.say("INFO", b"Signal=1\r\n", RELAY).status == 200
        assert len(infos(media, CALLER)) == 1
        media.rig.hang_up(media.caller)
        (record,) = media.rig.records()
        assert record["media_mode"] == "anchored"
        media.assert_nothing_is_left()

    @on_loop
    async def test_digit_that_cannot_be_pressed_is_refused(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring(dtmf="telephone-event")
        connect(media, PlainAnswerer)
        assert media.caller.say("INFO", b"1", {"content-type": "application/dtmf"}).status == 503
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()


class TestInfo:
    @on_loop
    async def test_event_reaches_a_gateway_that_wants_info_as_one(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring(dtmf="info")
        carrier = connect(media, PlainAnswerer)
        media.introduce()
        assert b"telephone-event" not in carrier.invites[0].body
        assert listed(answer_of(media)) == {101: 8000}
        end = media.caller.end
        end.send(1)
        for number in range(4):
            packet = event("#", 160 * (number + 1), sequence=number + 1, end=number > 0)
            end.rtp.sendto(packet, end.target)

        def has_come() -> bool:
            media.listen()
            return bool(infos(media, "203.0.113.1"))

        await until(has_come)
        (request,) = infos(media, "203.0.113.1")
        assert request.headers["content-type"] == ["application/dtmf-relay"]
        assert request.body == b"Signal=#\r\nDuration=40\r\n"
        assert len(carrier.end.received()) == 1
        # INFO needs nothing.
        assert media.caller.say("INFO", b"Signal=1\r\n", RELAY).status == 200
        assert len(infos(media, "203.0.113.1")) == 2
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_telephone_that_wants_info_gets_the_events_of_a_gateway_so(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring()
        media.rig.device.media = MediaWishes(dtmf="info")
        media.caller.end.sdp = lambda **_: without_events(media)  # type: ignore[method-assign]
        carrier = connect(media)
        media.introduce()
        assert events_of(parse(carrier.invites[0].body).media[0])
        carrier.end.rtp.sendto(event("3", 800, end=True), carrier.end.target)

        def has_come() -> bool:
            media.listen()
            return bool(infos(media, CALLER))

        await until(has_come)
        assert infos(media, CALLER)[0].body == b"Signal=3\r\nDuration=100\r\n"
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()


class TestEncryption:
    @on_loop
    async def test_gateway_is_offered_the_clear_by_whoever_encrypts(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        media.rig.customer.with_media = True
        caller = secure(media, media.caller)
        carrier = connect(media)
        offered = carrier.invites[0].body
        assert parse(offered).media[0].protocol == b"RTP/AVP"
        assert b"crypto" not in offered
        caller.say(2)
        await carrier.end.gets(2)
        carrier.end.send(2)
        assert len(await caller.hears(2)) == 2
        # Whoever has spoken in the clear is offered it, and whoever encrypts its key again.
        said = carrier.reinvite(carrier.end.sdp(extra="a=sendonly\n"))
        assert said.status == 200
        request = media.rig.wire.requests("INVITE", SWITCH, CALLER)[-1]
        assert [key for _, _, key in keys_of(request.body)] == [caller.theirs]
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_gateway_that_wants_it_is_offered_srtp(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring(srtp="required")
        carrier: TalkingAnswerer = media.answerer("203.0.113.1")
        end = carrier.end = SecureEnd()
        media.ends.append(end)
        media.rig.dial()
        end.learn(carrier.invites[0].body)
        media.caller.end.learn(answer_of(media))
        assert b"crypto" not in answer_of(media)
        end.say(2)
        await media.caller.end.gets(2)
        media.caller.end.send(2)
        assert len(await end.hears(2)) == 2
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()

    @on_loop
    async def test_gateway_that_answers_in_the_clear_is_followed_by_the_next(
        self, make_anchoring: MakeAnchoring
    ) -> None:
        media = make_anchoring(srtp="required")
        media.carrier()
        media.carrier(2)
        media.rig.dial()
        media.rig.hang_up(media.caller)
        assert [(record["code"], record["sip_code"]) for record in media.rig.records()] == [
            ("CODEC_NOT_ALLOWED", 488),
            ("ANSWERED", 200),
        ]
        media.assert_nothing_is_left()

    @on_loop
    async def test_nothing_is_sent_in_the_clear_where_no_engine_is(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring(srtp="required")
        media.die()
        carrier = media.carrier()
        for _ in range(2):  # the second time it is known
            media.rig.dial()
            media.give_up()
            assert carrier.invites == []
            assert media.rig.wire.responses(503, SWITCH, CALLER)
        assert [record["code"] for record in media.rig.records()] == ["NO_MEDIA", "NO_MEDIA"]

    @on_loop
    async def test_nothing_is_touched_where_media_goes_from_end_to_end(self, make_anchoring: MakeAnchoring) -> None:
        media = make_anchoring()
        caller = secure(media, media.caller)
        carrier: Any = media.carrier()
        media.rig.dial()
        body = carrier.invites[0].body
        assert body.partition(b"\r\ns=")[2] == caller.sdp().partition(b"\r\ns=")[2]
        asked: list[Message] = media.asked
        assert asked == []
        media.rig.hang_up(media.caller)
        media.assert_nothing_is_left()
