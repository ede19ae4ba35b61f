"""Requests to an engine: calls set up, changed, asked for and ended, with nothing left behind."""

import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import settings as settings_of_hypothesis
from hypothesis import strategies as st

from media import ng
from media.description import parse
from media.engine import FORGET_AFTER, SETUP_TIMEOUT
from media.ng import Options
from media.quality import mos, rate
from media.relay import LOCK_AFTER
from tests.media.descriptions import description
from tests.media.rig import End, Rig, rig, with_rig
from tests.support.media import until


class TestOffer:
    @with_rig()
    async def test_both_ends_see_addresses_of_ours_alone(self, rig: Rig) -> None:
        offered, answered = parse(rig.offer()), parse(rig.answer())
        for session, end in ((offered, rig.caller), (answered, rig.callee)):
            (medium,) = session.media
            assert medium.address == "127.0.0.1"
            assert medium.port not in (end.port, 0)
            assert medium.port % 2 == 0
        assert offered.media[0].port != answered.media[0].port
        assert rig.engine.ports.used == 2

    @with_rig()
    async def test_every_medium_has_ports_of_its_own(self, rig: Rig) -> None:
        media = "m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        ports = [medium.port for medium in parse(rig.offer(description("127.0.0.1", media=media))).media]
        assert len(set(ports)) == 2
        assert rig.engine.ports.used == 4

    @with_rig(video=False)
    async def test_refused_medium_has_no_ports(self, rig: Rig) -> None:
        media = "m=audio 5000 RTP/AVP 0\nm=video 5002 RTP/AVP 96\na=rtpmap:96 H264/90000\n"
        offered = parse(rig.offer(description("127.0.0.1", media=media)))
        assert offered.media[1].port == 0
        assert rig.engine.ports.used == 2
        answered = parse(rig.answer(description("127.0.0.1", media=media.replace("5002", "0"))))
        assert [medium.port > 0 for medium in answered.media] == [True, False]
        # The same when the answer does not know that it was refused.
        assert [medium.port > 0 for medium in parse(rig.answer(description("127.0.0.1", media=media))).media] == [
            True,
            False,
        ]

    @with_rig()
    async def test_offer_to_the_next_gateway_keeps_our_ports(self, rig: Rig) -> None:
        first = rig.offer()
        rig.answer(tags=("a", "early"))
        assert rig.offer() == first
        other = End()
        rig.caller.learn(rig.answer(other.sdp(), tags=("a", "b")))
        other.learn(first)
        rig.caller.send(2)
        await other.gets(2)
        assert rig.engine.ports.used == 2
        other.close()

    @with_rig()
    async def test_next_gateway_may_be_on_another_address_of_ours(self, rig: Rig) -> None:
        rig.offer()
        assert parse(rig.offer(address_family="IP6")).media[0].address == "::1"
        assert rig.engine.ports.used == 2

    @with_rig(interfaces=("pub=127.0.0.1", "priv=127.0.0.2!192.0.2.1"))
    async def test_direction_names_the_interfaces(self, rig: Rig) -> None:
        assert parse(rig.offer(direction=("pub", "priv"))).media[0].address == "192.0.2.1"
        assert parse(rig.answer()).media[0].address == "127.0.0.1"

    @with_rig(interfaces=())
    async def test_address_is_chosen_by_route_where_none_is_set(self, rig: Rig) -> None:
        rig.offer(media_address="127.0.0.3")
        assert rig.medium("a")["streams"][0]["local port"]
        answered = parse(rig.answer())
        assert answered.media[0].address == "127.0.0.1"

    @with_rig(interfaces=())
    async def test_way_to_an_end_is_that_of_its_signalling(self, rig: Rig) -> None:
        rig.offer(rig.caller.sdp(extra="c=IN IP4 0.0.0.0\n"), received_from="127.0.0.1")
        rig.answer()
        leg = rig.engine.calls["call"].streams[0].legs[0]
        assert leg is not None
        assert leg.interface.address == "127.0.0.1"
        rig.offer(description("10.255.255.1"), received_from="127.0.0.1", call_id="natted")
        leg = rig.engine.calls["natted"].streams[0].legs[0]
        assert leg is not None
        assert leg.interface.address == "127.0.0.1"

    @pytest.mark.parametrize(
        ("message", "status", "reason"),
        [
            ({}, 0, "no call-id"),
            ({"call-id": "x" * 256}, 0, "no call-id"),
            ({"call-id": "c"}, 0, "no from-tag"),
            ({"call-id": "c", "from-tag": "\udcff"}, 0, "no from-tag"),
            ({"call-id": "c", "from-tag": "a"}, 0, "no sdp"),
            ({"call-id": "c", "from-tag": "a", "sdp": "v=0"}, 488, "o= line"),
            ({"call-id": "c", "from-tag": "a", "sdp": description().decode(), "direction": ["x", "y"]}, 488, "x"),
            ({"call-id": "c", "from-tag": "a", "sdp": description().decode(), "flags": 3}, 0, "flags"),
        ],
    )
    def test_malformed_offer_is_refused_and_leaves_nothing(self, message: ng.Message, status: int, reason: str) -> None:
        @with_rig()
        async def test(_: object, rig: Rig) -> None:
            answer = rig.ask({"command": "offer", **message})
            assert answer["result"] == "error"
            assert reason in answer["error-reason"]
            assert answer.get("sip-status", 0) == status
            assert (rig.engine.calls, rig.engine.ports.used) == ({}, 0)

        test()

    @with_rig(first_port=41_000, last_port=41_005)
    async def test_shortage_of_ports_takes_none(self, rig: Rig) -> None:
        rig.offer()
        answer = rig.ask(ng.offer("other", "a", rig.caller.sdp(), Options()))
        assert "no port left" in answer["error-reason"]
        assert "sip-status" not in answer
        assert rig.engine.ports.used == 2

    @with_rig(interfaces=("192.0.2.1",))
    async def test_address_that_is_not_ours_is_no_fault_of_the_description(self, rig: Rig) -> None:
        answer = rig.ask(ng.offer("call", "a", rig.caller.sdp(), Options()))
        assert "no socket" in answer["error-reason"]
        assert "sip-status" not in answer
        assert rig.engine.calls == {}

    @with_rig(max_calls=1)
    async def test_calls_are_limited(self, rig: Rig) -> None:
        rig.offer()
        answer = rig.ask(ng.offer("other", "a", rig.caller.sdp(), Options()))
        assert answer["error-reason"] == "too many calls"


class TestAnswer:
    @with_rig()
    async def test_answer_needs_an_offer_of_its_tag(self, rig: Rig) -> None:
        for message in (
            ng.answer("call", "a", "b", rig.callee.sdp(), Options()),
            ng.answer("call", "other", "b", rig.callee.sdp(), Options()),
        ):
            assert rig.ask(message)["result"] == "error"
            rig.offer()

    @with_rig()
    async def test_answer_with_other_media_is_refused(self, rig: Rig) -> None:
        rig.offer()
        answer = rig.ask(ng.answer("call", "a", "b", rig.callee.sdp(media=""), Options()))
        assert answer["sip-status"] == 488

    @with_rig()
    async def test_medium_that_the_answer_refuses_passes_nothing(self, rig: Rig) -> None:
        rig.callee.learn(rig.offer())
        answered = parse(rig.answer(rig.callee.sdp(media="m=audio 0 RTP/AVP 0\n")))
        assert answered.media[0].port == 0
        rig.callee.send(1)
        await until(lambda: rig.stats("b")["errors"] == 1)
        assert rig.caller.received() == []

    @with_rig()
    async def test_multiplexing_is_accepted_when_it_was_not_offered_on(self, rig: Rig) -> None:
        offered = rig.offer(rig.caller.sdp(extra="a=rtcp-mux\n"), rtcp_mux=("demux",))
        assert b"rtcp-mux" not in offered
        assert b"a=rtcp-mux" in rig.answer()
        assert b"rtcp-mux" not in rig.offer(rig.caller.sdp(extra="a=rtcp-mux\n"), rtcp_mux=("reject",))
        assert b"rtcp-mux" not in rig.answer()


class TestLaterOffers:
    @with_rig()
    async def test_either_side_may_offer_again(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        shown = parse(rig.offer(rig.callee.sdp(extra="a=sendonly\n"), tag="b"))
        assert (shown.media[0].port, shown.media[0].direction) == (rig.caller.target[1], "sendonly")
        again = parse(rig.answer(rig.caller.sdp(extra="a=recvonly\n"), tags=("b", "a")))
        assert again.media[0].port == rig.callee.target[1]
        await rig.talk()
        assert rig.engine.ports.used == 2

    @with_rig()
    async def test_offer_that_is_refused_changes_nothing(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        with End() as moved:
            rig.offer(moved.sdp())
            rig.callee.send(1)
            await rig.caller.gets(1)

    @with_rig()
    async def test_audio_may_become_fax(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        for end, tag, others in ((rig.callee, "b", None), (rig.caller, None, ("b", "a"))):
            sdp = end.sdp(media=f"m=image {end.port} udptl t38\n")
            shown = rig.offer(sdp, tag=tag) if tag else rig.answer(sdp, tags=others or ("", ""))
            assert parse(shown).media[0].is_fax
        rig.caller.rtp.sendto(b"\0\1fax", rig.caller.target)
        await rig.callee.gets(1)

    @with_rig()
    async def test_offer_of_a_stranger_is_refused(self, rig: Rig) -> None:
        rig.connect()
        assert rig.ask(ng.offer("call", "c", rig.caller.sdp(), Options()))["result"] == "error"


class TestFigures:
    @with_rig()
    async def test_packets_of_each_side_are_counted(self, rig: Rig) -> None:
        rig.connect()
        rig.caller.send(5)
        await rig.callee.gets(5)
        assert rig.stats("a") == {"packets": 5, "bytes": 5 * 172, "errors": 0}
        assert rig.stats("b") == {"packets": 0, "bytes": 0, "errors": 0}
        answer = rig.query()
        assert answer["totals"]["RTP"]["packets"] == 5
        assert answer["tags"]["a"]["in dialogue with"] == "b"
        first = answer["tags"]["a"]["medias"][0]["streams"][0]
        assert first["endpoint"] == {"family": "IPv4", "address": "127.0.0.1", "port": rig.caller.port}
        assert abs(first["last packet"] - time.time()) < 5
        assert "last packet" not in answer["tags"]["b"]["medias"][0]["streams"][0]

    @with_rig()
    async def test_loss_gives_the_score_of_the_model(self, rig: Rig) -> None:
        rig.connect()
        for number in range(100):
            if number in (30, 60):
                rig.caller.sequence += 1
                continue
            rig.caller.send(1)
            await rig.callee.gets(1)
        quality = rig.medium("a")["quality"]
        assert (quality["codec"], quality["lost"]) == ("PCMU", 2)
        # How the model's figures are worked out is tested with it; the jitter is what this machine makes of it.
        factor = rate("PCMU", 0.02, float(quality["jitter-ms"]) / 1000, None)
        assert factor is not None
        assert float(quality["mos"]) == pytest.approx(mos(factor), abs=0.02)
        assert "quality" not in rig.medium("b")
        assert "round-trip-ms" not in quality

    @with_rig()
    async def test_deletion_gives_the_last_figures(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk(7)
        answer = rig.ask(ng.delete("call"))
        assert answer["tags"]["b"]["medias"][0]["streams"][0]["stats"]["packets"] == 7
        assert rig.engine.ports.used == 0
        assert rig.ask(ng.delete("call"))["warning"] == "Unknown call-id"
        assert rig.ask({**ng.delete("call"), "flags": ["fatal"]})["result"] == "error"
        assert rig.query()["error-reason"] == "Unknown call-id"

    @with_rig()
    async def test_calls_are_listed_up_to_a_limit(self, rig: Rig) -> None:
        for number in range(40):
            rig.offer(call_id=f"call{number}")
        assert len(rig.ask({"command": "list"})["calls"]) == 32
        assert len(rig.ask(ng.list_calls(100))["calls"]) == 40
        statistics = rig.ask({"command": "statistics"})["statistics"]
        assert (statistics["calls"], statistics["ports"]) == (40, 160)

    @with_rig()
    async def test_unknown_command_is_refused_and_ping_answered(self, rig: Rig) -> None:
        assert rig.ask(ng.ping()) == {"result": "pong"}
        assert rig.ask({"command": "start recording"})["error-reason"] == "Unrecognized command"
        assert rig.ask({"command": []})["result"] == "error"


class TestSilence:
    @with_rig()
    async def test_silent_call_is_told_until_it_is_deleted(self, rig: Rig) -> None:
        rig.connect()
        await rig.talk()
        now = time.monotonic()
        rig.engine.handle_timers(now + 20)
        assert rig.ask(ng.timeouts())["calls"] == []
        rig.engine.handle_timers(now + 31)
        assert rig.ask(ng.timeouts())["calls"] == ["call"]
        rig.ask(ng.delete("call"))
        assert rig.ask(ng.timeouts())["calls"] == []

    @with_rig()
    async def test_one_side_that_sends_keeps_the_call(self, rig: Rig) -> None:
        rig.connect()
        rig.engine.calls["call"].active_at -= 100
        rig.caller.send(LOCK_AFTER)
        await rig.callee.gets(LOCK_AFTER)
        rig.engine.handle_timers(time.monotonic() + 20)
        assert rig.ask(ng.timeouts())["calls"] == []

    @with_rig()
    async def test_call_on_hold_may_be_silent_for_longer(self, rig: Rig) -> None:
        rig.connect()
        rig.offer(rig.caller.sdp(extra="a=sendonly\n"))
        rig.answer(rig.callee.sdp(extra="a=recvonly\n"))
        now = time.monotonic()
        rig.engine.handle_timers(now + 580)
        assert rig.ask(ng.timeouts())["calls"] == []
        rig.engine.handle_timers(now + 601)
        assert rig.ask(ng.timeouts())["calls"] == ["call"]

    @with_rig()
    async def test_what_nobody_deletes_is_forgotten(self, rig: Rig) -> None:
        rig.connect()
        rig.offer(call_id="unanswered")
        now = time.monotonic()
        rig.engine.handle_timers(now + SETUP_TIMEOUT + 1)
        assert list(rig.engine.calls) == ["call"]
        rig.engine.handle_timers(now + 31 + FORGET_AFTER)
        assert rig.engine.ports.used == 0


class TestManyCalls:
    @with_rig()
    async def test_a_thousand_calls_give_everything_back(self, rig: Rig) -> None:
        for turn in range(10):
            for number in range(100):
                rig.connect(f"{turn}-{number}")
            assert rig.engine.ports.used == 200
            for number in range(100):
                rig.ask(ng.delete(f"{turn}-{number}"))
            assert (rig.engine.ports.used, rig.engine.calls) == (0, {})


MEDIA = ("m=audio {} RTP/AVP 0 8\n", "m=video {} RTP/AVP 96\n", "m=image {} udptl t38\n", "m=text {} TCP/X 1\n")
EXTRAS = ("", "a=sendonly\n", "a=rtcp-mux\n", "c=IN IP4 0.0.0.0\n", "c=IN IP6 ::1\n", "a=rtcp:9\n", "c=IN IP4 nobody\n")

descriptions = st.lists(
    st.tuples(st.sampled_from(MEDIA), st.sampled_from((0, 5000, 5002)), st.sampled_from(EXTRAS)), max_size=3
).map(lambda parts: description("127.0.0.1", media="".join(line.format(port) + extra for line, port, extra in parts)))

requests = st.fixed_dictionaries(
    {
        "command": st.sampled_from(("offer", "offer", "answer", "answer", "query", "delete", "block DTMF")),
        "call-id": st.sampled_from(("one", "two")),
        "from-tag": st.sampled_from(("a", "b", "c")),
        "to-tag": st.sampled_from(("a", "b", "c")),
        "sdp": descriptions,
    },
    optional={
        "flags": st.lists(st.sampled_from(("asymmetric", "media handover", "reorder codecs", "codec-strip-PCMU"))),
        "direction": st.sampled_from((["pub", "pub"], ["pub", "none"])),
        "address family": st.sampled_from(("IP4", "IP6", "x")),
        "media address": st.sampled_from(("127.0.0.1", "127.0.0.5", "192.0.2.1", "x")),
        "received from": st.sampled_from((["IP4", "127.0.0.1"], ["x"], 3)),
        "rtcp-mux": st.lists(st.sampled_from(("demux", "reject", "offer"))),
    },
)


class TestAnything:
    @given(st.lists(requests, max_size=12))
    @settings_of_hypothesis(max_examples=60, deadline=None)
    def test_any_order_of_requests_is_answered_and_leaves_nothing(self, messages: list[ng.Message]) -> None:
        async def main() -> None:
            with rig(interfaces=("pub=127.0.0.1", "127.0.0.5", "::1")) as made:
                for message in messages:
                    answer = made.ask(message)
                    assert answer["result"] in ("ok", "error")
                    assert "internal" not in answer.get("error-reason", "")
                    if answer["result"] == "ok" and "sdp" in answer:
                        parse(answer["sdp"].encode())
                made.engine.handle_timers(time.monotonic() + 2 * SETUP_TIMEOUT)
                # The rig looks that no port is left in use.

        asyncio.run(main())
