"""Packets through the relay on the loopback interface: who is let through, and who is not."""

import socket

import pytest

from media import rtcp
from media.ng import Source
from media.relay import LOCK_AFTER, MOVE_AFTER
from tests.media.rig import NEVER, End, Rig, silence_before_a_move, with_rig
from tests.support.media import until

SENDER_REPORT = rtcp.pack(rtcp.Report(7, [], ntp=0x1234, packets=1))


class TestBothWays:
    @with_rig()
    async def test_packets_pass_unchanged_from_our_address(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send(3)
        came = await rig.callee.gets(3)
        assert [source for _, source in came] == [rig.callee.target] * 3
        assert [data[2:4] for data, _ in came] == [b"\0\0", b"\0\1", b"\0\2"]
        rig.callee.send(2)
        assert {source for _, source in await rig.caller.gets(2)} == {rig.caller.target}

    @with_rig(caller="127.0.0.1", callee="::1")
    async def test_packets_pass_between_ipv4_and_ipv6(self, rig: Rig) -> None:
        rig.connect(address_family="IP6")
        assert (rig.caller.target[0], rig.callee.target[0]) == ("127.0.0.1", "::1")
        await rig.talk()

    @with_rig()
    async def test_rtcp_passes_beside_it(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send_rtcp(SENDER_REPORT)
        ((data, source),) = await rig.callee.gets(1, rig.callee.rtcp)
        assert (data, source[1]) == (SENDER_REPORT, rig.callee.target[1] + 1)
        assert rig.stats("a", 1)["packets"] == 1
        assert rig.stats("a", 0)["packets"] == 0

    @with_rig()
    async def test_rtcp_passes_on_the_same_port_when_both_multiplex(self, rig: Rig) -> None:
        rig.callee.learn(rig.offer(rig.caller.sdp(extra="a=rtcp-mux\n")))
        rig.caller.learn(rig.answer(rig.callee.sdp(extra="a=rtcp-mux\n")))
        rig.caller.send_rtcp(SENDER_REPORT, muxed=True)
        assert (await rig.callee.gets(1))[0] == (SENDER_REPORT, rig.callee.target)
        assert rig.stats("a", 1)["packets"] == 1

    @with_rig()
    async def test_rtcp_finds_an_end_that_does_not_multiplex(self, rig: Rig) -> None:
        rig.callee.learn(rig.offer(rig.caller.sdp(extra="a=rtcp-mux\n"), rtcp_mux=("demux",)))
        rig.caller.learn(rig.answer(rig.callee.sdp()))
        rig.caller.send_rtcp(SENDER_REPORT, muxed=True)
        await rig.callee.gets(1, rig.callee.rtcp)
        rig.callee.send_rtcp(SENDER_REPORT)
        assert (await rig.caller.gets(1))[0] == (SENDER_REPORT, rig.caller.target)

    @with_rig()
    async def test_events_pass_unless_they_are_blocked(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send(1, 101)
        assert (await rig.callee.gets(1))[0][0][1] == 101
        rig.ask({"command": "block DTMF", "call-id": "call", "from-tag": "a"})
        rig.caller.send(1, 101)
        rig.caller.send(1, 0)
        assert [data[1] for data, _ in await rig.callee.gets(1)] == [0]
        rig.callee.send(1, 101)
        await rig.caller.gets(1)
        rig.ask({"command": "unblock DTMF", "call-id": "call", "from-tag": "a"})
        rig.caller.send(1, 101)
        assert (await rig.callee.gets(1))[0][0][1] == 101

    @with_rig()
    async def test_fax_passes_whatever_its_bytes_look_like(self, rig: Rig) -> None:
        rig.callee.learn(rig.offer(rig.caller.sdp(media=f"m=image {rig.caller.port} udptl t38\n")))
        rig.caller.learn(rig.answer(rig.callee.sdp(media=f"m=image {rig.callee.port} udptl t38\n")))
        like_rtcp = b"\x80\xc8" + bytes(10)
        for data in (b"\0", b"\0\1fax", like_rtcp):
            rig.caller.rtp.sendto(data, rig.caller.target)
            assert (await rig.callee.gets(1))[0] == (data, rig.callee.target)
        assert rig.stats("a")["packets"] == 3

    @with_rig()
    async def test_sending_to_an_end_that_is_not_there_yet_loses_nothing_later(self, rig: Rig) -> None:
        rig.connect(source=Source.STRICT)
        port = rig.callee.port
        rig.callee.rtp.close()
        rig.caller.send(2)
        await until(lambda: rig.stats("a")["packets"] == 2)
        rig.callee.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        rig.callee.rtp.setblocking(False)
        rig.callee.rtp.bind((rig.callee.address, port))
        rig.caller.send(3)
        await rig.callee.gets(3)


class TestLearning:
    @with_rig()
    async def test_end_behind_nat_is_found_by_its_packets(self, rig: Rig) -> None:
        rig.connect()
        with End() as nat:
            rig.caller.send(LOCK_AFTER, via=nat.rtp)
            await rig.callee.gets(LOCK_AFTER)
            rig.callee.send(2)
            await nat.gets(2)
            assert rig.caller.received() == []

    @pytest.mark.parametrize("source", [Source.LEARN_ONCE, Source.STRICT, Source.LEARN])
    def test_packet_of_a_third_host_is_never_forwarded(self, source: Source) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            rig.connect(source=source)
            await rig.talk()
            with End() as stranger:
                for victim in (rig.caller, rig.callee):
                    stranger.target = victim.target
                    stranger.send(20)
                    victim.send(1)
                other = {rig.caller: rig.callee, rig.callee: rig.caller}
                for victim in (rig.caller, rig.callee):
                    came = await other[victim].gets(1)
                    assert [data[8:12] for data, _ in came] == [victim.ssrc.to_bytes(4, "big")]

        with silence_before_a_move(NEVER):
            test()

    @with_rig()
    async def test_what_a_stranger_sent_before_the_lock_is_not_forwarded_after_it(self, rig: Rig) -> None:
        rig.connect()
        with End() as stranger:
            # All of it waits in the socket when the first packet is read.
            rig.caller.send(1)
            stranger.target = rig.caller.target
            stranger.send(5)
            rig.caller.send(1)
            came = await rig.callee.gets(2)
            assert {data[8:12] for data, _ in came} == {rig.caller.ssrc.to_bytes(4, "big")}
            assert rig.stats("a")["errors"] == 5

    @with_rig()
    async def test_end_at_its_own_place_comes_before_a_stranger_who_was_first(self, rig: Rig) -> None:
        rig.connect()
        with End() as stranger:
            stranger.target = rig.caller.target
            stranger.send(LOCK_AFTER - 1)
            await rig.callee.gets(LOCK_AFTER - 1)
            rig.caller.send(1)
            await rig.callee.gets(1)
            stranger.send(5)
            rig.caller.send(1)
            assert len(await rig.callee.gets(1)) == 1

    @with_rig()
    async def test_moved_end_is_refused_when_it_was_learned_once(self, rig: Rig) -> None:
        rig.connect(source=Source.LEARN_ONCE)
        await rig.talk()
        with End() as moved:
            rig.caller.send(3 * MOVE_AFTER, via=moved.rtp)
            rig.caller.send(1)
            assert len(await rig.callee.gets(1)) == 1

    @with_rig()
    async def test_moved_end_is_followed_once_its_old_place_is_silent(self, rig: Rig) -> None:
        rig.connect(source=Source.LEARN)
        await rig.talk()
        with End() as moved:
            with silence_before_a_move(NEVER):
                rig.caller.send(MOVE_AFTER, via=moved.rtp)
                rig.caller.send(1)
                assert len(await rig.callee.gets(1)) == 1
            with silence_before_a_move(0.02):
                await until(lambda: rig.comes_through(moved))
            rig.callee.send(2)
            await moved.gets(2)

    @with_rig()
    async def test_rtcp_is_taken_from_the_host_of_rtp_alone(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        with End("127.0.0.9") as stranger:
            stranger.target = rig.caller.target
            for _ in range(LOCK_AFTER):
                stranger.send_rtcp(SENDER_REPORT)
            await until(lambda: rig.stats("a", 1)["errors"] == LOCK_AFTER)
            rig.caller.send_rtcp(SENDER_REPORT)
            assert len(await rig.callee.gets(1, rig.callee.rtcp)) == 1

    @with_rig()
    async def test_strict_source_is_taken_from_the_description_alone(self, rig: Rig) -> None:
        rig.connect(source=Source.STRICT)
        with End() as nat:
            rig.caller.send(5, via=nat.rtp)
            rig.caller.send(1)
            assert len(await rig.callee.gets(1)) == 1

    @with_rig()
    async def test_end_that_gives_another_address_is_learned_anew(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        with End() as moved:
            rig.offer(moved.sdp())
            rig.answer()
            moved.target = rig.caller.target
            moved.send(2)
            await rig.callee.gets(2)
            rig.callee.send(1)
            await moved.gets(1)

    @with_rig()
    async def test_learned_end_stays_when_its_description_says_the_same(self, rig: Rig) -> None:
        rig.connect()
        with End() as nat:
            rig.caller.send(LOCK_AFTER, via=nat.rtp)
            await rig.callee.gets(LOCK_AFTER)
            for extra in ("a=sendonly\n", "c=IN IP4 0.0.0.0\n", ""):
                rig.offer(rig.caller.sdp(extra=extra))
                rig.answer()
                rig.callee.send(1)
                await nat.gets(1)
