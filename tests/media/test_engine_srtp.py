"""Calls with SRTP on one side or both, through an engine, to ends that have libsrtp themselves."""

import asyncio
from pathlib import Path

import pytest
from pylibsrtp import Policy, Session

from media import ng, rtcp, rtp
from media.description import parse
from media.engine import Engine
from media.kernel_flow import Flow
from media.ng import Options
from media.restart import SessionFile
from media.sdes import KEY_SIZES
from tests.media.rig import End, Rig, settings, with_rig
from tests.media.secure import CM_80, SUITES, SecureEnd, keys_of
from tests.support.media import until


def secure(rig: Rig, suite: str = CM_80, protocol: str = "RTP/SAVP") -> SecureEnd:
    """Let the caller speak SRTP."""
    rig.caller.close()
    caller = rig.caller = SecureEnd(suite, protocol)
    return caller


async def talk(one: SecureEnd, other: End, count: int = 4) -> None:
    one.say(count)
    for data, _ in await other.gets(count):
        assert data[12:] == b"\xff" * 160
    other.send(count)
    assert [data[12:] for data in await one.hears(count)] == [b"\xff" * 160] * count


class TestTowardsTheClear:
    @pytest.mark.parametrize("suite", list(SUITES))
    def test_sound_and_reports_pass_both_ways(self, suite: str) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            caller = secure(rig, suite)
            offered = rig.offer(transport_protocol="RTP/AVP")
            assert parse(offered).media[0].protocol == b"RTP/AVP"
            assert b"crypto" not in offered
            rig.callee.learn(offered)
            answered = rig.answer()
            caller.learn(answered)
            (key,) = keys_of(answered)
            assert key[:2] == ("1", suite)
            assert key[2] != caller.ours
            await talk(caller, rig.callee)
            report = rtcp.pack(rtcp.Report(caller.ssrc, [rtcp.Block(rig.callee.ssrc, 0, 3, 0, 80, 0, 0)]))
            caller.report(report)
            assert [data for data, _ in await rig.callee.gets(1, rig.callee.rtcp)] == [report]
            rig.callee.send_rtcp(report)
            assert await caller.hears_reports(1) == [report]
            leg = rig.engine.calls["call"].streams[0].legs[0]
            assert leg is not None
            assert leg.keeper.heard is not None  # what we can read counts

        test()

    @with_rig()
    async def test_packet_of_another_key_reaches_nobody_and_moves_nothing(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        stranger = SecureEnd()
        stranger.target = caller.target
        stranger.say(5)
        await until(lambda: rig.stats("a")["errors"] == 5)
        caller.send(1)  # in the clear
        await until(lambda: rig.stats("a")["errors"] == 6)
        caller.say(1)
        (data, _), *more = await rig.callee.gets(1)
        assert rtp.HEADER.unpack_from(data)[4] == caller.ssrc
        assert more == []
        rig.callee.send(1)
        await caller.hears(1)
        assert rig.medium("a")["SRTP"]["dropped"] == {"not authentic": 6, "replayed": 0, "other": 0}
        stranger.close()

    @with_rig()
    async def test_packet_that_comes_twice_is_dropped(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        packet = caller.sending.protect(rtp.pack(0, 1, 160, 9, b"x" * 160))
        for _ in range(3):
            caller.rtp.sendto(packet, caller.target)
        await until(lambda: rig.medium("a")["SRTP"]["dropped"]["replayed"] == 2)
        assert len(rig.callee.received()) == 1

    @with_rig()
    async def test_profile_with_feedback_and_multiplexing(self, rig: Rig) -> None:
        caller = secure(rig, protocol="RTP/SAVPF")
        offered = rig.offer(caller.sdp(extra="a=rtcp-mux\na=rtcp-fb:0 nack\n"), transport_protocol="RTP/AVP")
        assert b"rtcp-fb" not in offered
        rig.callee.learn(offered)
        caller.learn(rig.answer(rig.callee.sdp(extra="a=rtcp-mux\n")))
        await talk(caller, rig.callee)
        report = rtcp.pack(rtcp.Report(caller.ssrc, []))
        caller.rtp.sendto(caller.sending.protect_rtcp(report), caller.target)
        assert [data for data, _ in await rig.callee.gets(1)] == [report]

    @with_rig()
    async def test_prompt_is_encrypted_like_all_else(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        await talk(caller, rig.callee)
        rig.engine.playing.library.load()
        rig.ask(ng.play_media("call", "a", "busy-eu", 0))
        assert [len(data) for data in await caller.hears(5)] == [172] * 5


class TestFromTheClear:
    @with_rig()
    async def test_keys_are_offered_for_every_suite_and_the_end_chooses(self, rig: Rig) -> None:
        offered = rig.offer(transport_protocol="RTP/SAVP")
        keys = keys_of(offered)
        assert [suite for _, suite, _ in keys] == [*KEY_SIZES]
        rig.callee.close()
        callee = rig.callee = SecureEnd("AES_CM_128_HMAC_SHA1_32")
        callee.learn(offered)
        rig.caller.learn(rig.answer())
        assert rig.medium("b")["SRTP"]["suite"] == "AES_CM_128_HMAC_SHA1_32"
        await talk(callee, rig.caller)
        rig.caller.send(1)
        ((data, _),) = await callee.gets(1)
        assert len(data) == 172 + 4

    @with_rig()
    async def test_nothing_passes_before_the_keys_are_there(self, rig: Rig) -> None:
        offered = rig.offer(transport_protocol="RTP/SAVP")
        answer = rig.ask(ng.answer("call", "a", "b", rig.callee.sdp(), Options()))
        assert (answer["sip-status"], "in the clear" in answer["error-reason"]) == (488, True)
        rig.callee.close()
        callee = rig.callee = SecureEnd()
        callee.learn(offered)
        callee.say(2)
        await until(lambda: rig.engine.calls["call"].report()["totals"]["RTP"]["errors"] == 2)
        assert rig.caller.received() == []
        rig.caller.learn(rig.answer())
        await talk(callee, rig.caller)

    @with_rig()
    async def test_answer_with_a_key_of_nothing_offered_is_refused(self, rig: Rig) -> None:
        rig.offer(transport_protocol="RTP/SAVP")
        callee = SecureEnd()
        callee.tag = 9
        answer = rig.ask(ng.answer("call", "a", "b", callee.sdp(), Options()))
        assert (answer["sip-status"], "not offered" in answer["error-reason"]) == (488, True)
        rig.offer(transport_protocol="RTP/AVP")
        answer = rig.ask(ng.answer("call", "a", "b", callee.sdp(), Options()))
        assert (answer["sip-status"], "not offered" in answer["error-reason"]) == (488, True)
        callee.close()


class TestBothSides:
    @with_rig()
    async def test_each_side_has_keys_of_its_own(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.close()
        callee = SecureEnd("AEAD_AES_128_GCM")
        rig.callee = callee
        offered = rig.offer()
        callee.learn(offered)
        answered = rig.answer()
        caller.learn(answered)
        keys = [key for body in (offered, answered, caller.sdp(), callee.sdp()) for _, _, key in keys_of(body)]
        assert len(set(keys)) == len(keys) == 4 + 1 + 1 + 1
        caller.say(3)
        assert len(await callee.hears(3)) == 3
        callee.say(3)
        assert len(await caller.hears(3)) == 3


class TestAgain:
    @with_rig()
    async def test_keys_stay_until_an_end_changes_its_own(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        first = rig.answer()
        caller.learn(first)
        await talk(caller, rig.callee)
        rig.offer(transport_protocol="RTP/AVP")
        assert keys_of(rig.answer()) == keys_of(first)
        await talk(caller, rig.callee)  # the numbers go on, too
        # The other side offers: it is the same key, whatever the end's tag.
        again = rig.offer(rig.callee.sdp(), tag="b", transport_protocol="RTP/SAVP")
        assert keys_of(again) == keys_of(first)
        caller.learn(again)
        rig.answer(caller.sdp(), tags=("b", "a"))
        await talk(caller, rig.callee)
        caller.renew()
        rig.offer(transport_protocol="RTP/AVP")
        assert keys_of(rig.answer()) == keys_of(first)
        await talk(caller, rig.callee)

    @with_rig()
    async def test_offer_that_is_not_answered_changes_no_key(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        other = SecureEnd()
        rig.offer(other.sdp(), transport_protocol="RTP/AVP")
        await talk(caller, rig.callee)
        other.close()

    @with_rig()
    async def test_side_may_go_over_to_the_clear(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        await talk(caller, rig.callee)
        answered = rig.offer(End.sdp(caller), transport_protocol="RTP/AVP") and rig.answer()
        assert b"crypto" not in answered
        End.learn(caller, answered)
        caller.send(2)
        assert len(await rig.callee.gets(2)) == 2


class TestRefused:
    @pytest.mark.parametrize(
        ("media", "asked", "reason"),
        [
            ("RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0", "RTP/AVP", "6 bytes"),
            ("RTP/SAVP 0\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:c2VjcmV0|1:1", "", "MKI"),
            ("UDP/TLS/RTP/SAVPF 0\na=fingerprint:sha-256 00", "RTP/AVP", "cannot be decrypted"),
            ("RTP/SAVP 0", "RTP/AVP", "cannot be decrypted"),
            ("RTP/AVP 0", "UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVPF"),
        ],
    )
    def test_offer_that_cannot_be_carried(self, media: str, asked: str, reason: str) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            body = rig.caller.sdp(media=f"m=audio {rig.caller.port} {media}\n")
            answer = rig.ask(ng.offer("call", "a", body, Options(transport_protocol=asked)))
            assert answer["sip-status"] == 488
            assert reason in answer["error-reason"]
            assert "c2VjcmV0" not in answer["error-reason"]
            assert rig.engine.ports.used == 0

        test()


class Kernel:
    """Says that it takes whatever it is given."""

    state = "kernel"

    def hand_over(self, _: Flow) -> bool:
        raise AssertionError


class TestKernel:
    @with_rig()
    async def test_never_given_what_is_decrypted(self, rig: Rig) -> None:
        caller = secure(rig)
        rig.callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        await talk(caller, rig.callee)
        engine = rig.engine
        (stream,) = engine.calls["call"].streams
        assert stream.is_complete
        engine._kernel = Kernel()  # type: ignore[assignment]
        engine._is_outside = lambda address: True  # type: ignore[method-assign]
        engine._hand_over(engine.calls["call"], stream)
        assert stream.flow is None
        assert rig.ask(ng.statistics())["statistics"]["decrypted streams"] == 1
        engine._kernel = None


def test_successor_goes_on_with_keys_from_a_file_that_only_its_owner_reads(tmp_path: Path) -> None:
    async def main() -> None:
        caller, callee = SecureEnd(), End()
        path = tmp_path / "sessions"
        engine = Engine(settings(), None, SessionFile(path))
        rig = Rig(engine, caller, callee)
        callee.learn(rig.offer(transport_protocol="RTP/AVP"))
        caller.learn(rig.answer())
        caller.sequence = callee.sequence = 65_530
        for _ in range(2):
            await talk(caller, callee, 10)  # past the point where the numbers begin anew
            caller.sequence += 20_000
            callee.sequence += 20_000
        report = rtcp.pack(rtcp.Report(callee.ssrc, []))
        callee.send_rtcp(report)
        await caller.hears_reports(1)
        assert path.stat().st_mode & 0o777 == 0o600
        engine.close()
        rig.engine = engine = Engine(settings(), None, SessionFile(path))
        engine.restore()
        await talk(caller, callee)
        callee.send_rtcp(report)
        assert await caller.hears_reports(1) == [report]
        # Whoever has only the keys, and starts from nothing, cannot read it.
        callee.send(1)
        ((data, _),) = await caller.gets(1)
        fresh = Session(Policy(caller.theirs, Policy.SSRC_ANY_INBOUND, 0, SUITES[CM_80][0]))
        with pytest.raises(Exception, match="authentication"):
            fresh.unprotect(data)
        engine.end()
        engine.close()
        caller.close()
        callee.close()

    asyncio.run(main())
