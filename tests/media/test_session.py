"""What is known of a stream's quality over both ways of knowing it."""

import time

from media import rtcp
from tests.media.rig import Rig, with_rig


class TestReports:
    @with_rig()
    async def test_reports_of_both_ends_give_the_round_trip(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk(1)
        for end, other, ntp in ((rig.caller, rig.callee, 0xA), (rig.callee, rig.caller, 0xB)):
            end.send_rtcp(rtcp.pack(rtcp.Report(end.ssrc, [], ntp=ntp, packets=1)))
            await other.gets(1, other.rtcp)
            other.send_rtcp(rtcp.pack(rtcp.Report(other.ssrc, [rtcp.Block(end.ssrc, 0, 0, 1, 0, ntp, 0)])))
            await end.gets(1, end.rtcp)
        milliseconds = float(rig.medium("a")["quality"]["round-trip-ms"])
        assert 0 <= milliseconds < 2000

    @with_rig()
    async def test_what_the_other_end_reports_counts_where_we_did_not_see_all(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk(1)
        for leg in rig.engine.calls["call"].streams[0].legs:
            assert leg is not None
            leg.was_in_kernel = True
        assert rig.medium("a")["quality"] == {"codec": "PCMU"}
        leg = rig.engine.calls["call"].streams[0].legs[0]
        assert leg is not None
        leg.note_kernel(type(leg.kernel)(99, 17_028), time.monotonic())
        block = rtcp.Block(rig.caller.ssrc, 5, 2, 100, 80, 0, 0)
        rig.callee.send_rtcp(rtcp.pack(rtcp.Report(rig.callee.ssrc, [block])))
        await rig.caller.gets(1, rig.caller.rtcp)
        quality = rig.medium("a")["quality"]
        # Two of a hundred: R = 86.19, as in the tests of the model; 80 units of 8000 Hz are 10 ms.
        assert (quality["lost"], quality["jitter-ms"], quality["mos"]) == (2, "10.00", "4.23")
        assert rig.stats("a")["packets"] == 100

    @with_rig()
    async def test_encrypted_reports_are_passed_on_unread(self, rig: Rig) -> None:
        media = "m=audio {} UDP/TLS/RTP/SAVP 0\na=fingerprint:sha-1 00\n"
        rig.callee.learn(rig.offer(rig.caller.sdp(media=media.format(rig.caller.port))))
        rig.caller.learn(rig.answer(rig.callee.sdp(media=media.format(rig.callee.port))))
        rig.caller.send_rtcp(rtcp.pack(rtcp.Report(1, [rtcp.Block(2, 9, 9, 9, 9, 9, 9)])))
        await rig.callee.gets(1, rig.callee.rtcp)
        leg = rig.engine.calls["call"].streams[0].legs[0]
        assert leg is not None
        assert leg.keeper.heard is None
