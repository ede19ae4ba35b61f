"""Digits of calls through an engine: put into what one end sends, taken out of what the other does, and told."""

import struct

import pytest

from media import ng, rtp
from media.description import parse
from media.ng import Options
from media.telephone_event import events_of
from tests.media.rig import End, Rig, with_rig
from tests.media.secure import SecureEnd
from tests.media.test_dtmf import event, parts
from tests.support.media import until

EVENTS = ("telephone-event",)


def plain(end: End) -> bytes:
    """A description of an end that knows no events."""
    return end.sdp(media=f"m=audio {end.port} RTP/AVP 0\n")


def listed(body: bytes) -> dict[int, int]:
    return events_of(parse(body).media[0])


def press(rig: Rig, tag: str = "a", code: object = "5", duration: int = 100) -> ng.Message:
    return rig.ask({**ng.play_dtmf("call", tag, "", duration), "code": code})


async def digit(end: End) -> list[bytes]:
    """Wait for a whole digit."""
    found: list[bytes] = []

    def is_over() -> bool:
        found.extend(data for data, _ in end.received())
        return sum(parts(data)[5] for data in found if parts(data)[1] == 101) == 3

    await until(is_over)
    return found


class TestLists:
    @with_rig()
    async def test_events_are_offered_and_not_answered_to_who_does_not_know_them(self, rig: Rig) -> None:
        assert listed(rig.offer(plain(rig.caller), codec_transcode=EVENTS)) == {101: 8000}
        answered = rig.answer()
        assert parse(answered).media[0].formats == b"0 8"
        assert b"telephone-event" not in answered

    @with_rig()
    async def test_events_are_answered_to_who_knows_them_though_the_other_does_not(self, rig: Rig) -> None:
        assert listed(rig.offer(codec_mask=EVENTS)) == {}
        assert listed(rig.answer(plain(rig.callee), codec_transcode=EVENTS)) == {101: 8000}

    @with_rig()
    async def test_nothing_is_changed_unless_asked_for(self, rig: Rig) -> None:
        assert listed(rig.offer(plain(rig.caller))) == {}
        assert listed(rig.answer()) == {101: 8000}


class TestPlay:
    @with_rig()
    async def test_digit_comes_among_the_sound(self, rig: Rig) -> None:
        rig.callee.learn(rig.offer(plain(rig.caller), codec_transcode=EVENTS))
        rig.caller.learn(rig.answer())
        await rig.talk()
        assert press(rig)["result"] == "ok"
        found: list[bytes] = []

        def is_over() -> bool:
            rig.caller.send(1)
            found.extend(data for data, _ in rig.callee.received())
            return len(found) > 3 and parts(found[-1])[1] == 0 and any(parts(data)[1] == 101 for data in found)

        await until(is_over)
        headers = [rtp.HEADER.unpack_from(data) for data in found]
        assert {header[4] for header in headers} == {rig.caller.ssrc}
        numbers = [header[2] for header in headers]
        assert numbers == [*range(numbers[0], numbers[0] + len(numbers))]
        digits = [parts(data) for data in found if parts(data)[1] == 101]
        assert [each[0] for each in digits] == [True] + [False] * (len(digits) - 1)
        assert {each[4] for each in digits} == {5}
        assert len({each[3] for each in digits}) == 1
        assert digits[-1][5:] == (True, 800)
        assert sum(each[5] for each in digits) == 3

    @with_rig()
    async def test_digit_of_a_silent_end_has_packets_of_its_own(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send(1)
        ((first, _),) = await rig.callee.gets(1)
        press(rig, code=11, duration=60)
        found = await digit(rig.callee)
        assert [parts(data)[2] for data in found] == [parts(first)[2] + 1 + number for number in range(len(found))]
        assert {parts(data)[4] for data in found} == {11}
        rig.caller.send(1)
        ((data, _),) = await rig.callee.gets(1)
        assert parts(data)[2] == parts(found[-1])[2] + 1  # what follows is counted on
        assert rtp.HEADER.unpack_from(found[0])[4] == rig.caller.ssrc
        # Nothing came ever: it is a stream of its own.
        press(rig, "b", duration=60)
        assert len({rtp.HEADER.unpack_from(data)[4] for data in await digit(rig.caller)}) == 1

    @with_rig()
    async def test_digit_is_encrypted_for_an_end_with_keys(self, rig: Rig) -> None:
        rig.caller.close()
        caller = rig.caller = SecureEnd()
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        press(rig, "b", duration=40)
        found = await caller.hears(4)
        assert {parts(data)[4] for data in found} == {5}

    @with_rig()
    async def test_what_cannot_be_pressed_is_refused(self, rig: Rig) -> None:
        rig.connect()
        refused: tuple[object, ...] = ("x", "12", 16, -1, "", [])
        for code in refused:
            assert "no digit" in press(rig, code=code)["error-reason"]
        assert "not a number" in rig.ask({**ng.play_dtmf("call", "a", "1", 1), "duration": "x"})["error-reason"]
        assert "no side" in press(rig, "other")["error-reason"]
        rig.offer(plain(rig.caller))
        rig.answer(plain(rig.callee))
        assert "takes no telephone-events" in press(rig)["error-reason"]


class TestWatch:
    @pytest.mark.parametrize("side", ["a", "b"])
    def test_digits_of_a_side_are_told_once_and_go_no_further(self, side: str) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            told: list[ng.Message] = []
            rig.engine.notify = told.append
            rig.callee.learn(rig.offer(takes_events=side == "a"))
            rig.caller.learn(rig.answer(takes_events=side == "b"))
            speaker, listener = (rig.caller, rig.callee) if side == "a" else (rig.callee, rig.caller)
            speaker.send(1)
            for number in range(5):
                packet = event("*", 160 * (number + 1), sequence=1 + number, end=number > 1)
                speaker.rtp.sendto(packet, speaker.target)
            speaker.sequence = 6
            speaker.send(1)
            found = await listener.gets(2)
            assert [parts(data)[1] for data, _ in found] == [0, 0]
            assert told == [ng.digit_heard("call", side, "*", 60, told[0]["number"])]
            # The other side's pass.
            listener.rtp.sendto(event("1", 160), listener.target)
            ((data, _),) = await speaker.gets(1)
            assert struct.unpack_from("!BBH", data, 12)[0] == 1
            # Not any more.
            rig.offer()
            rig.answer()
            speaker.rtp.sendto(event("2", 160, sequence=100), speaker.target)
            await listener.gets(1)

        test()


def test_options_go_there_and_back() -> None:
    options = Options(codec_transcode=EVENTS, takes_events=True)
    read = Options.from_message(options.to_message())
    assert (read.codec_transcode, read.takes_events) == (EVENTS, True)
