"""`play media` and `stop media`: who hears what, in which codec, for how long, and what else is heard meanwhile."""

from array import array
from typing import Any, Final

import pytest

from media import g722, ng
from media.description import parse
from media.g711 import encode
from media.prompt import FRAME, Prompt, PromptLibrary
from media.rtp import HEADER
from tests.media.kernel_rig import KernelRig, with_kernel
from tests.media.rig import End, Rig, with_rig
from tests.media.test_prompt import sine, wav
from tests.support.media import until
from tests.support.network import needs_root

SAMPLES: Final = sine(700, 8000, 0.1)
LIBRARY: Final = PromptLibrary()
LIBRARY._prompts["hello"] = Prompt("hello", SAMPLES)


def play(rig: Rig, tag: str | None = "a", **keys: Any) -> ng.Message:
    rig.engine.playing.library = LIBRARY
    keys = {"file": "hello"} | keys
    message = {"command": "play media", "call-id": "call", **({"from-tag": tag} if tag else {}), **keys}
    return rig.ask({key.replace("_", "-"): value for key, value in message.items()})


async def hears(end: End, count: int) -> list[bytes]:
    return [data for data, _ in await end.gets(count)]


class TestPlay:
    @pytest.mark.parametrize(
        ("number", "codec", "data"), [(8, "PCMA", encode(SAMPLES, "PCMA")), (9, "G722", g722.encode(SAMPLES, 8000))]
    )
    def test_prompt_is_heard_as_it_is_in_the_codec_agreed_on(self, number: int, codec: str, data: bytes) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            offered = f"m=audio {rig.caller.port} RTP/AVP 0 8 9\n"
            rig.callee.learn(rig.offer(rig.caller.sdp(media=offered)))
            media = f"m=audio {rig.callee.port} RTP/AVP {number}\na=rtpmap:{number} {codec}/8000\n"
            rig.caller.learn(rig.answer(rig.callee.sdp(media=media)))
            assert play(rig) == {"result": "ok", "duration": 100}
            packets = await hears(rig.caller, 5)
            assert b"".join(packet[12:] for packet in packets) == data
            heads = [HEADER.unpack_from(packet) for packet in packets]
            assert [head[1] for head in heads] == [0x80 | number, *[number] * 4]  # the first is marked
            assert [(head[2] - heads[0][2], head[3] - heads[0][3]) for head in heads] == [
                (n, n * FRAME) for n in range(5)
            ]
            assert len({head[4] for head in heads}) == 1
            await until(lambda: rig.engine.playing.player.count == 0)
            await rig.talk()

        test()

    @with_rig()
    async def test_other_side_is_not_heard_meanwhile_and_is_afterwards(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        assert "duration" not in play(rig, repeat_times=0)
        await hears(rig.caller, 12)  # on and on
        rig.callee.send(3)
        rig.caller.send(2)
        assert len(await hears(rig.callee, 2)) == 2  # who listens may speak
        assert all(packet[12:] != b"\xff" * 160 for packet in await hears(rig.caller, 3))
        assert rig.ask(ng.stop_media("call", "a")) == {"result": "ok", "stopped": 1}
        rig.caller.received()
        await rig.talk()
        assert rig.ask(ng.stop_media("call", "a"))["stopped"] == 0

    @with_rig()
    async def test_what_is_played_next_takes_the_place_of_the_first(self, rig: Rig) -> None:
        rig.connect()
        play(rig, repeat_times=0)
        play(rig, None, repeat_times=2)
        assert rig.engine.playing.player.count == 2  # of each side
        assert rig.ask({"command": "statistics"})["statistics"]["plays"] == 2
        await hears(rig.callee, 10)
        await until(lambda: rig.engine.playing.player.count == 0)

    @with_rig()
    async def test_offer_alone_is_enough_and_the_end_of_the_call_ends_it(self, rig: Rig) -> None:
        rig.caller.target = ("", 0)
        rig.offer()
        play(rig, repeat_times=0)
        assert len(await hears(rig.caller, 2)) == 2
        rig.ask(ng.delete("call"))
        assert rig.engine.playing.player.count == 0

    @with_rig()
    async def test_sound_may_come_with_the_request(self, rig: Rig) -> None:
        rig.connect()
        blob = wav(SAMPLES).decode("utf-8", "surrogateescape")
        assert play(rig, file="", blob=blob)["duration"] == 100
        assert len(await hears(rig.caller, 5)) == 5
        long = wav(array("h", [0]) * 48_001).decode("utf-8", "surrogateescape")
        assert "at most 5 s" in rig.engine.handle({**ng.play_media("call", "a", ""), "blob": long})["error-reason"]

    @with_rig(max_plays=1)
    async def test_plays_are_limited(self, rig: Rig) -> None:
        rig.connect()
        play(rig, repeat_times=0)
        assert play(rig, "b")["error-reason"] == "1 prompts and tones are played already"
        assert play(rig)["result"] == "ok"  # in its place

    @pytest.mark.parametrize(
        ("keys", "reason"),
        [
            ({"file": "unknown"}, "no prompt 'unknown'"),
            ({"file": ""}, "takes a file or a blob"),
            ({"file": "", "blob": "RIFF"}, "no WAV file"),
            ({"tag": "z"}, "no side of this tag"),
            ({"repeat_times": "x"}, "not a number"),
            ({"repeat_times": 1001}, "up to 1000"),
            ({"call_id": "other"}, "Unknown call-id"),
        ],
    )
    def test_what_cannot_be_played_is_refused(self, keys: dict[str, Any], reason: str) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            rig.connect()
            answer = play(rig, **keys)
            assert answer["result"] == "error"
            assert reason in answer["error-reason"]
            assert rig.engine.playing.player.count == 0

        test()

    @with_rig()
    async def test_call_without_a_codec_of_ours_is_refused(self, rig: Rig) -> None:
        media = "m=audio 5000 RTP/AVP 4 18\n"
        rig.offer(rig.caller.sdp(media=media))
        rig.answer(rig.callee.sdp(media=media))
        assert "PCMU, PCMA, G722" in play(rig)["error-reason"]
        assert parse(rig.offer(rig.caller.sdp(media=media))).media[0].port


@needs_root
class TestKernel:
    @with_kernel()
    async def test_stream_leaves_the_kernel_while_something_is_played_and_returns(self, rig: KernelRig) -> None:
        await rig.hand_over()
        play(rig, repeat_times=0)
        assert not rig.is_in_kernel
        await hears(rig.caller, 5)
        rig.callee.send(2)  # which nobody hears
        rig.caller.send(2)
        await rig.callee.gets(2)
        assert not rig.is_in_kernel
        rig.ask(ng.stop_media("call", "a"))
        assert rig.is_in_kernel
        rig.caller.received()
        await rig.talk()
