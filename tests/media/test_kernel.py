"""Streams in the hands of the kernel, between network namespaces: who is passed on, counted, followed, taken back."""

import asyncio
import time
from pathlib import Path

import pytest

from media import ng, rtcp
from media.kernel import ConntrackPath, open_kernel
from media.kernel_flow import Flow, FlowCount
from media.kernel_table import COUNTING, FORWARDING, FORWARDING_6
from media.ng import Source
from media.relay import MOVE_AFTER
from tests.media.kernel_rig import KernelRig, with_kernel
from tests.media.rig import FIRST_PORT, LAST_PORT, NEVER, silence_before_a_move
from tests.support.media import until
from tests.support.network import in_own_network, needs_root
from tests.support.networks import CALLEE, SWITCH

pytestmark = needs_root

REPORT = rtcp.pack(rtcp.Report(7, [], ntp=0x1234, packets=1))


class TestBothWays:
    @with_kernel()
    async def test_every_packet_arrives_from_our_address_and_is_counted_once(self, rig: KernelRig) -> None:
        rig.connect()
        # Packets keep coming while the stream is handed over.
        for _ in range(50):
            rig.caller.send(1)
            rig.callee.send(1)
            await asyncio.sleep(0)
        assert {source for _, source in await rig.callee.gets(50)} == {rig.callee.target}
        assert {source for _, source in await rig.caller.gets(50)} == {rig.caller.target}
        assert rig.callee.target[0] == SWITCH[CALLEE]
        assert rig.is_in_kernel
        for tag in ("a", "b"):
            assert rig.stats(tag) == {"packets": 50, "bytes": 50 * 172, "errors": 0}

    @with_kernel()
    async def test_nothing_comes_to_user_space_once_it_is_handed_over(self, rig: KernelRig) -> None:
        await rig.hand_over()
        before = rig.relayed
        await rig.talk(20)
        assert rig.relayed == before
        assert rig.stats("a")["packets"] == 21

    @with_kernel()
    async def test_strict_source_needs_no_packet_to_be_handed_over(self, rig: KernelRig) -> None:
        rig.connect(source=Source.STRICT)
        assert rig.is_in_kernel
        await rig.talk(5)
        assert rig.relayed == [0, 0]

    @with_kernel()
    async def test_rtcp_comes_to_user_space_on_either_port(self, rig: KernelRig) -> None:
        await rig.hand_over()
        rig.caller.send_rtcp(REPORT)
        assert (await rig.callee.gets(1, rig.callee.rtcp))[0][0] == REPORT
        # As an end does that multiplexes without having said so.
        rig.caller.send_rtcp(REPORT, muxed=True)
        assert (await rig.callee.gets(1, rig.callee.rtcp))[0][1][1] == rig.callee.target[1] + 1
        assert rig.stats("a", 1)["packets"] == 2
        assert rig.is_in_kernel

    @with_kernel()
    async def test_rtcp_between_two_that_multiplex_leaves_from_the_port_that_the_kernel_has(
        self, rig: KernelRig
    ) -> None:
        rig.callee.learn(rig.offer(rig.caller.sdp(extra="a=rtcp-mux\n"), media_address=SWITCH[CALLEE]))
        rig.caller.learn(rig.answer(rig.callee.sdp(extra="a=rtcp-mux\n")))
        await rig.talk(1)
        assert rig.is_in_kernel
        for end, other in ((rig.caller, rig.callee), (rig.callee, rig.caller)):
            end.send_rtcp(REPORT, muxed=True)
            assert await other.gets(1) == [(REPORT, other.target)]
        await rig.talk(3)
        assert rig.is_in_kernel

    @with_kernel(6)
    async def test_ipv6_is_handed_over_where_the_machine_forwards_it(self, rig: KernelRig) -> None:
        rig.connect()
        await rig.talk(2)
        assert not rig.is_in_kernel
        FORWARDING_6.write_text("1\n")
        rig.engine.handle_timers(time.monotonic())
        assert rig.is_in_kernel
        before = rig.relayed
        await rig.talk(5)
        assert (rig.relayed, rig.stats("a")["packets"]) == (before, 7)


class TestSources:
    @pytest.mark.parametrize("source", Source)
    def test_packet_of_a_third_host_is_never_forwarded(self, source: Source, tmp_path: Path) -> None:
        @with_kernel()
        async def test(_: object, rig: KernelRig) -> None:
            await rig.hand_over(source)
            stranger = rig.stranger()
            for victim, other in ((rig.caller, rig.callee), (rig.callee, rig.caller)):
                stranger.target = (SWITCH[stranger.address], victim.target[1])
                stranger.send(5)
                # And to the very address that the victim sends to.
                stranger.target = victim.target
                stranger.send(20)
                victim.send(1)
                assert [data[8:12] for data, _ in await other.gets(1)] == [victim.ssrc.to_bytes(4, "big")]
                stranger.send(5)
                victim.send(1)
                assert [data[8:12] for data, _ in await other.gets(1)] == [victim.ssrc.to_bytes(4, "big")]
            stranger.close()

        with silence_before_a_move(NEVER):
            test(None, tmp_path)

    @with_kernel()
    async def test_moved_end_is_followed_and_handed_over_again(self, rig: KernelRig) -> None:
        await rig.hand_over(Source.LEARN)
        await rig.talk(5)
        moved = rig.end(rig.caller.address)
        with silence_before_a_move(NEVER):
            rig.caller.send(MOVE_AFTER, via=moved.rtp)
            rig.caller.send(1)
            assert len(await rig.callee.gets(1)) == 1
        with silence_before_a_move(0.2):
            await until(lambda: rig.comes_through(moved))
        await until(lambda: rig.is_in_kernel)
        rig.callee.send(3)
        await moved.gets(3)
        assert rig.caller.received() == []
        moved.close()

    @with_kernel()
    async def test_moved_end_is_refused_when_it_was_learned_once(self, rig: KernelRig) -> None:
        await rig.hand_over(Source.LEARN_ONCE)
        moved = rig.end(rig.caller.address)
        rig.caller.send(3 * MOVE_AFTER, via=moved.rtp)
        rig.caller.send(1)
        assert len(await rig.callee.gets(1)) == 1
        moved.close()


class TestTakenBack:
    @with_kernel()
    async def test_hold_brings_the_stream_to_user_space_and_its_end_back_to_the_kernel(self, rig: KernelRig) -> None:
        await rig.hand_over()
        rig.offer(rig.caller.sdp(extra="a=sendonly\n"))
        rig.answer(rig.callee.sdp(extra="a=recvonly\n"))
        assert not rig.is_in_kernel
        before = rig.relayed
        await rig.talk(3)
        assert rig.relayed == [count + 3 for count in before]
        rig.offer()
        rig.answer()
        assert rig.is_in_kernel
        await rig.talk(4)
        assert [rig.stats(tag)["packets"] for tag in ("a", "b")] == [8, 8]

    @with_kernel()
    async def test_blocked_events_are_looked_for_in_user_space(self, rig: KernelRig) -> None:
        await rig.hand_over()
        rig.ask(ng.block_dtmf("call", "a", blocked=True))
        rig.caller.send(1, 101)
        rig.caller.send(1, 0)
        assert [data[1] for data, _ in await rig.callee.gets(1)] == [0]
        rig.ask(ng.block_dtmf("call", "a", blocked=False))
        assert rig.is_in_kernel

    @with_kernel()
    async def test_entry_that_the_kernel_drops_is_made_again_and_nothing_is_lost(self, rig: KernelRig) -> None:
        await rig.hand_over()
        await rig.talk(5)
        other = ConntrackPath(FIRST_PORT, LAST_PORT)
        ((flow, _),) = other.count().items()
        other.take_back(flow)
        other.close(keep=True)
        rig.engine.handle_timers(time.monotonic())
        assert rig.is_in_kernel
        await rig.talk(5)
        assert [rig.stats(tag)["packets"] for tag in ("a", "b")] == [11, 11]

    @with_kernel()
    async def test_last_counters_are_known_when_the_call_is_deleted(self, rig: KernelRig) -> None:
        await rig.hand_over()
        await rig.talk(9)
        totals = rig.ask(ng.delete("call"))["totals"]["RTP"]
        assert totals == {"packets": 20, "bytes": 20 * 172, "errors": 0}

    @with_kernel()
    async def test_silence_is_told_by_the_kernel_s_counters(self, rig: KernelRig) -> None:
        await rig.hand_over()
        call = rig.engine.calls["call"]
        for leg in call.streams[0].legs:
            assert leg is not None
            leg.rtp.last_at -= 100
        call.active_at -= 100
        rig.caller.send(3)
        await rig.callee.gets(3)
        rig.engine.handle_timers(time.monotonic() + 20)
        assert rig.ask(ng.timeouts())["calls"] == []
        rig.engine.handle_timers(time.monotonic() + 60)
        assert rig.ask(ng.timeouts())["calls"] == ["call"]


class TestRestart:
    @with_kernel()
    async def test_kernel_goes_on_without_an_engine_and_the_next_adopts_its_streams(self, rig: KernelRig) -> None:
        await rig.hand_over()
        await rig.talk(4)
        rig.engine.close()
        await rig.talk(6)
        rig.engine = rig.make_engine()
        rig.engine.restore()
        assert rig.is_in_kernel
        before = rig.relayed
        await rig.talk(5)
        assert rig.relayed == before
        rig.engine.remove_strays()
        await rig.talk(1)
        # All that the kernel has counted since the beginning, while no engine ran too.
        assert rig.stats("a")["packets"] >= 4 + 6 + 5 + 1
        rig.ask(ng.delete("call"))
        rig.engine.close()
        assert FORWARDING.read_text() == "0\n"
        rig.engine = rig.make_engine()

    @with_kernel()
    async def test_stream_of_a_call_that_nobody_knows_is_removed(self, rig: KernelRig) -> None:
        await rig.hand_over()
        rig.engine.close()
        (rig.directory / "sessions").unlink()
        rig.engine = rig.make_engine()
        rig.engine.restore()
        assert len(rig.path.count()) == 1
        rig.engine.remove_strays()
        assert rig.path.count() == {}


class TestManyCalls:
    @with_kernel()
    async def test_a_thousand_calls_leave_no_entry(self, rig: KernelRig) -> None:
        for turn in range(10):
            for number in range(100):
                rig.connect(f"{turn}-{number}", source=Source.STRICT)
            # All have the same ends, and each has ports of its own.
            assert len(rig.path.count()) == 100
            for number in range(100):
                rig.ask(ng.delete(f"{turn}-{number}"))
            assert rig.path.count() == {}
            assert rig.engine.ports.used == 0


class TestSystem:
    @with_kernel()
    async def test_nothing_of_the_system_is_changed_before_the_first_stream(self, rig: KernelRig) -> None:
        assert (FORWARDING.read_text(), COUNTING.read_text()) == ("0\n", "0\n")
        await rig.hand_over()
        assert (FORWARDING.read_text(), COUNTING.read_text()) == ("1\n", "1\n")

    @with_kernel()
    async def test_forwarding_is_as_it_was_when_the_engine_has_stopped(self, rig: KernelRig) -> None:
        await rig.hand_over()
        rig.engine.end()
        rig.engine.close()
        assert FORWARDING.read_text() == "0\n"
        rig.engine = rig.make_engine()


def test_stream_stays_in_user_space_without_the_capability() -> None:
    def main() -> None:
        path = open_kernel(FIRST_PORT, LAST_PORT, is_wanted=True)
        flow = Flow(("192.0.2.1", 1), ("192.0.2.2", FIRST_PORT), ("192.0.2.2", FIRST_PORT + 2), ("192.0.2.3", 2))
        assert not path.hand_over(flow)
        assert path.state == "user space: Operation not permitted"
        assert path.take_back(flow) == (FlowCount(), FlowCount())
        assert path.count() == {}
        path.close(keep=False)

    in_own_network(main, privileged=False)
