"""Debian's rtpengine-daemon in user space: with the client alone, and with a whole switch in front of it."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from media import client as module
from media.client import MediaClient
from media.description import parse
from media.engine_address import EngineAddress
from media.errors import EngineRefused
from media.ng import Options, Source
from media.rtcp import Block, Report, pack
from tests.media.rig import End, rig
from tests.support.calls import agents, are_up, dial, received, within
from tests.support.media import until
from tests.support.servers import Run
from tests.support.switch import Switch, free_port, running_switch

PROGRAM = shutil.which("rtpengine") or "/usr/sbin/rtpengine"

pytestmark = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="rtpengine-daemon is not installed")

OPTIONS = Options(source=Source.LEARN_ONCE)


def start(port: int, directory: Path) -> "subprocess.Popen[bytes]":
    command = [PROGRAM, "--foreground", "--log-stderr", "--table=-1", "--interface=127.0.0.1"]
    command += [f"--listen-ng=127.0.0.1:{port}", "--port-min=46000", "--port-max=46999", "--log-level=4"]
    with (directory / "rtpengine.log").open("wb") as log:
        return subprocess.Popen([*command, f"--pidfile={directory}/pid"], stderr=log)


@asynccontextmanager
async def running(directory: Path, told: list[str] | None = None) -> AsyncIterator[MediaClient]:
    """An rtpengine, and a client of it."""
    port = free_port()
    process = start(port, directory)
    address = EngineAddress("rtpengine", socket.AF_INET, ("127.0.0.1", port))
    client = MediaClient([address], (told if told is not None else []).append)
    try:
        client.open()
        await until(lambda: client.is_answering("rtpengine"), 20)
        yield client
    finally:
        client.close()
        process.terminate()
        process.wait(10)


async def connect(client: MediaClient, caller: End, callee: End, call_id: str = "call") -> None:
    callee.learn(await client.wait(client.offer, call_id, "a", caller.sdp(), OPTIONS))
    caller.learn(await client.wait(client.answer, call_id, "a", "b", callee.sdp(), OPTIONS))


async def talk(caller: End, callee: End, count: int = 10) -> None:
    for end, other in ((caller, callee), (callee, caller)):
        end.send(count)
        await other.gets(count)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEALTH_INTERVAL", 0.1)


def test_call_is_anchored_counted_held_and_deleted(tmp_path: Path) -> None:
    async def main() -> None:
        caller, callee = End(), End()
        async with running(tmp_path) as client:
            await connect(client, caller, callee)
            assert caller.target[1] not in (caller.port, callee.port)
            await talk(caller, callee)
            report = await client.wait(client.query, "call")
            assert [report.sides[tag][0].packets for tag in ("a", "b")] == [10, 10]
            held = parse(await client.wait(client.offer, "call", "a", caller.sdp(extra="a=sendonly\n"), OPTIONS))
            assert (held.media[0].direction, held.media[0].port) == ("sendonly", callee.target[1])
            await client.wait(client.answer, "call", "a", "b", callee.sdp(extra="a=recvonly\n"), OPTIONS)
            await talk(caller, callee)
            report = await client.wait(client.delete, "call")
            assert [report.sides[tag][0].packets for tag in ("a", "b")] == [20, 20]
        caller.close()
        callee.close()

    asyncio.run(main())


def test_ice_is_removed_and_codecs_are_those_asked_for(tmp_path: Path) -> None:
    async def main() -> None:
        caller = End()
        sdp = caller.sdp(extra="a=ice-ufrag:x\na=ice-pwd:abcdefghijklmnopqrstuvwx\n")
        options = Options(codec_strip=("PCMU",), received_from="127.0.0.1", rtcp_mux=("demux",))
        async with running(tmp_path) as client:
            offered = await client.wait(client.offer, "call", "a", sdp, options)
            assert b"a=ice" not in offered
            assert parse(offered).media[0].formats == b"8 101"
            await client.wait(client.delete, "call")
        caller.close()

    asyncio.run(main())


def test_call_that_it_ended_by_itself_is_told(tmp_path: Path) -> None:
    async def main() -> None:
        caller, callee = End(), End()
        told: list[str] = []
        async with running(tmp_path, told) as client:
            await connect(client, caller, callee)
            await connect(client, caller, callee, "gone")
            other = MediaClient([client.address_of("rtpengine")])
            # Another client's deletion of it is the same to us as its timeout.
            other.offer("gone", "a", caller.sdp(), OPTIONS, lambda _: None)
            await until(lambda: other.engine_of("gone"))
            await other.wait(other.delete, "gone")
            other.close()
            await until(lambda: told)
            assert told == ["gone"]
        caller.close()
        callee.close()

    asyncio.run(main())


def test_description_that_it_cannot_read_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with running(tmp_path) as client:
            with pytest.raises(EngineRefused):
                await client.wait(client.offer, "call", "a", b"nonsense", OPTIONS)

    asyncio.run(main())


def test_our_engine_and_it_understand_each_other_in_srtp(tmp_path: Path) -> None:
    async def main() -> None:
        with rig() as ours:
            async with running(tmp_path) as client:
                # Our offer, its answer.
                offered = ours.offer(transport_protocol="RTP/SAVP")
                clear = Options(source=Source.LEARN_ONCE, transport_protocol="RTP/AVP")
                ours.callee.learn(await client.wait(client.offer, "call", "a", offered, clear))
                answered = await client.wait(client.answer, "call", "a", "b", ours.callee.sdp(), OPTIONS)
                assert parse(answered).media[0].protocol == b"RTP/SAVP"
                ours.caller.learn(ours.answer(answered))
                await ours.talk(10)
                await client.wait(client.delete, "call")
                # Its offer, our answer.
                secure = Options(source=Source.LEARN_ONCE, transport_protocol="RTP/SAVP")
                offered = await client.wait(client.offer, "again", "a", ours.caller.sdp(), secure)
                assert parse(offered).media[0].has_keys
                ours.callee.learn(ours.offer(offered, call_id="again", transport_protocol="RTP/AVP"))
                answered = ours.answer(call_id="again")
                assert parse(answered).media[0].protocol == b"RTP/SAVP"
                ours.caller.learn(await client.wait(client.answer, "again", "a", "b", answered, OPTIONS))
                await ours.talk(10)
                await client.wait(client.delete, "again")

    asyncio.run(main())


def test_digits_are_pressed_as_our_engine_does(tmp_path: Path) -> None:
    async def main() -> None:
        caller, callee = End(), End()
        async with running(tmp_path) as client:
            options = Options(source=Source.LEARN_ONCE, flags=("inject-DTMF",))
            callee.learn(await client.wait(client.offer, "call", "a", caller.sdp(), options))
            caller.learn(await client.wait(client.answer, "call", "a", "b", callee.sdp(), options))
            caller.send(3)
            await callee.gets(3)
            await client.wait(client.play_dtmf, "call", "a", "5", 100)
            found: list[bytes] = []

            def has_come() -> bool:
                caller.send(1)
                found.extend(data for data, _ in callee.received())
                return any(data[1] & 0x7F == 101 for data in found)

            await until(has_come)
            await client.wait(client.delete, "call")
        caller.close()
        callee.close()

    asyncio.run(main())


# A whole switch


class SpeakingCaller(Caller):
    """A caller that hears."""

    end: End

    @property
    def session(self) -> bytes:
        """Where it hears."""
        return self.end.sdp()


class SpeakingAnswerer(Answerer):
    """A carrier that hears."""

    end: End

    @property
    def session(self) -> bytes:
        """Where it hears."""
        return self.end.sdp()


async def report(one: End, other: End) -> None:
    """Let each end say what it has sent, and how it hears the other, until rtpengine has what it judges by."""
    for turn in (1, 2, 3):
        for speaker, listener in ((one, other), (other, one)):
            ntp = turn << 16
            speaker.send_rtcp(pack(Report(speaker.ssrc, [], ntp, speaker.sequence)))
            await listener.gets(1, listener.rtcp)
            await asyncio.sleep(0.01)  # a way there and back that takes longer than the stated delay
            listener.send_rtcp(
                pack(Report(listener.ssrc, [Block(speaker.ssrc, 0, 0, speaker.sequence - 1, 8, ntp, 1)]))
            )
            await speaker.gets(1, speaker.rtcp)


async def call_through(switch: Switch) -> None:
    """Make a call whose sound passes both ways, look at it while it is up, and hang up."""
    caller, carrier = SpeakingCaller(), SpeakingAnswerer("127.0.0.1", switch.carrier_ports[0])
    with End() as caller.end, End() as carrier.end:
        async with agents(caller, carrier):
            dial(caller, switch)
            await are_up(caller, carrier)
            carrier.end.learn(carrier.invites[0].body)
            (answer,) = [message.body for message in received(caller) if message.body]
            caller.end.learn(answer)
            for target in (caller.end.target, carrier.end.target):
                assert 46_000 <= target[1] <= 46_999  # rtpengine's ports
            await talk(caller.end, carrier.end)
            await report(caller.end, carrier.end)
            (live,) = switch.ask("calls")["calls"]
            (quality,) = switch.ask("quality", call_ids=[live["call_id"]])["calls"].values()
            assert [quality[side]["packets"] for side in ("a", "b")] == [10, 10]
            caller.hang_up()
            await within(carrier.is_ended)


def test_call_of_a_whole_switch_is_anchored_measured_and_deleted(tmp_path: Path, run: Run) -> None:
    port = free_port()
    process = start(port, tmp_path)
    name = f"udp://127.0.0.1:{port}"
    try:
        with running_switch(SOFTSWITCH_MEDIA__ENGINES=name) as switch:
            switch.command("account", "set", "DEMO0002", "--with-media")
            switch.wait_for_configuration()
            run(call_through(switch))
            switch.wait_for_records(1, "a_packets IS NOT NULL")
            (record,) = switch.query("SELECT code, media_mode, a_packets, b_packets, audio FROM cdr")
            assert tuple(record) == ("ANSWERED", "anchored", 10, 10, None)
            # It judges what the caller sends; of the other direction a call so short tells it nothing.
            (quality,) = switch.query("SELECT a_mos, a_lost, a_jitter_ms, a_round_trip_ms FROM cdr")
            assert (quality["a_mos"] > 4, quality["a_lost"]) == (True, 0)
            assert None not in tuple(quality)
            (engine,) = switch.ask("engines")["engines"]
            assert (engine["name"], engine["up"], engine["sessions"]) == (name, True, 0)
            assert {name: value for name, _, value in switch.ask("metrics")["samples"]}[
                "softswitch_calls_anchored"
            ] == 0
            assert name in switch.command("doctor", check=False)
    finally:
        process.terminate()
        process.wait(10)
