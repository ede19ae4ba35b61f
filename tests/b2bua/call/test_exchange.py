"""Requests within the dialogs of a call, carried from one side to the other (RFC 3261 §14, 3311, 6086, 3428)."""

import pytest

from b2bua.call.leg import ALLOW
from media.sdp import CodecList
from tests.b2bua.call.exchanges import (
    FROM_EITHER,
    T1_64,
    MakeRig,
    assert_ended,
    call_up,
    end,
    heard,
    listing,
    origin_of,
    version_of,
)
from tests.b2bua.call.rig import CALLER, SWITCH
from tests.support.legs import on_loop, payloads_of
from tests.support.talking import describe_audio

HOLDS = [
    pytest.param({"direction": "sendonly"}, "a=sendonly", id="sendonly"),
    pytest.param({"direction": "inactive"}, "a=inactive", id="inactive"),
    pytest.param({"connection": "0.0.0.0"}, "c=IN IP4 0.0.0.0", id="rfc2543"),
]


class TestHold:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize(("how", "line"), HOLDS)
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_hold_and_resume_reach_the_other_side(
        self, make_rig: MakeRig, side: str, how: dict[str, str], line: str, method: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.describes = describe_audio(far.host, version=2, direction="recvonly")
        held = near.say(method, describe_audio(near.host, version=2, **how))
        assert held.status == 200
        assert line in heard(far).request.body.decode().split("\r\n")
        assert b"a=recvonly" in held.response.body
        far.describes = describe_audio(far.host, version=3)
        resumed = near.say(method, describe_audio(near.host, version=3, direction="sendrecv"))
        assert resumed.status == 200
        assert b"a=sendrecv" in heard(far).request.body
        assert b"only" not in resumed.response.body
        acks = 2 if method == "INVITE" else 0
        assert sum(len(each.acks) for each in far.heard) == acks
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_messages_of_a_reinvite_are_those_of_two_dialogs(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        before = len(rig.wire.carried)
        near.reinvite()
        labels = [f"{each.source} {each.label}" for each in rig.wire.carried[before:]]
        assert labels == [
            f"{near.host} INVITE", f"{SWITCH} INVITE", f"{far.host} 200 INVITE",
            f"{SWITCH} ACK", f"{SWITCH} 200 INVITE", f"{near.host} ACK",
        ]  # fmt: skip
        end(rig, far)

    @on_loop
    @FROM_EITHER
    async def test_requests_are_of_their_own_dialogs(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say("INVITE", near.usual_session, {"user-agent": "Secret/1", "p-asserted-identity": "<sip:x@y>"})
        request = heard(far).request
        assert request.call_id != said.request.headers["call-id"][0]
        assert near.host not in request.to_bytes().decode().replace(f"c=IN IP4 {near.host}", "")
        assert {"user-agent", "p-asserted-identity"}.isdisjoint(request.headers)
        assert len(request.headers["via"]) == 1
        assert request.headers["max-forwards"] == ["70"]
        assert request.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert request.headers["allow"] == [ALLOW]
        answer = said.response
        assert far.host not in answer.to_bytes().decode().replace(f"c=IN IP4 {far.host}", "")
        assert answer.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert answer.headers["content-type"] == ["application/sdp"]
        assert answer.headers["server"] == ["softswitch"]
        end(rig, near)

    @on_loop
    async def test_answers_of_the_other_side_say_nothing_of_its_network(self, make_rig: MakeRig) -> None:
        rig, near, far = call_up(make_rig)
        far.statuses["INVITE"] = 0
        said = near.reinvite(settles=True)
        far.reply(heard(far), 200, headers={"server": "Secret/2", "p-asserted-identity": "<sip:x@y>"})
        assert said.response.headers["server"] == ["softswitch"]
        assert "p-asserted-identity" not in said.response.headers
        end(rig, near)

    @on_loop
    async def test_duration_and_charge_are_as_without_a_hold(self, make_rig: MakeRig) -> None:
        rig, near, far = call_up(make_rig)
        rig.wire.advance(10.0)
        near.reinvite(describe_audio(near.host, version=2, direction="sendonly"))
        rig.wire.advance(30.0)
        near.reinvite(describe_audio(near.host, version=3))
        far.reinvite(describe_audio(far.host, version=3, direction="inactive"))
        rig.wire.advance(20.0)
        end(rig, near)
        (record,) = rig.records()
        assert record["duration"] == pytest.approx(60.0, abs=0.001)
        assert float(record["gross"]) == pytest.approx(0.06)
        assert (record["ended_by"], record["reason"], record["sip_code"]) == ("caller", "", 200)
        assert [line["kind"] for line in rig.lines()].count("cdr") == 1

    @on_loop
    @FROM_EITHER
    async def test_both_sides_may_ask_one_after_the_other(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        for _ in range(3):
            assert near.reinvite().status == 200
            assert far.reinvite().status == 200
            assert near.say("UPDATE").status == 200
        assert near.out_of_order == far.out_of_order == []
        numbers = [each.request.cseq for each in far.heard]
        assert numbers == sorted(set(numbers))
        end(rig, far)


class TestSession:
    @on_loop
    @FROM_EITHER
    async def test_origin_is_ours_and_the_version_changes_with_the_peers(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        session = int(next(iter(rig.driver.calls))[-12:], 16)
        far.describes = describe_audio(far.host, version=7)
        first = near.reinvite(describe_audio(near.host, version=4))
        assert origin_of(heard(far).request.body) == f"o=- {session} 4 IN IP4 {SWITCH}"
        assert origin_of(first.response.body) == f"o=- {session} 7 IN IP4 {SWITCH}"
        again = near.reinvite(describe_audio(near.host, version=4))
        assert (version_of(heard(far).request.body), version_of(again.response.body)) == ("4", "7")
        far.describes = describe_audio(far.host, version=8)
        changed = near.reinvite(describe_audio(near.host, version=5))
        assert (version_of(heard(far).request.body), version_of(changed.response.body)) == ("5", "8")
        assert f"c=IN IP4 {near.host}".encode() in heard(far).request.body
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_codec_may_change(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.describes = describe_audio(far.host, version=2, payloads="9")
        said = near.reinvite(describe_audio(near.host, version=2, payloads="9 8"))
        assert payloads_of(heard(far).request.body) == [9, 8]
        assert payloads_of(said.response.body) == [9]
        end(rig, near)
        assert rig.records()[0]["codec_used"] == "G722"

    @on_loop
    @FROM_EITHER
    async def test_t38_passes(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.customer.codec_check, rig.customer.codecs = True, CodecList.of(["PCMA"])
        image = "m=image 40002 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\n"
        refused = "m=audio 0 RTP/AVP 8\r\n"
        head = f"v=0\r\no=- 1 2 IN IP4 {{host}}\r\ns=-\r\nc=IN IP4 {{host}}\r\nt=0 0\r\n{refused}{image}"
        far.describes = head.format(host=far.host).encode()
        said = near.reinvite(head.format(host=near.host).encode())
        for body, host in ((heard(far).request.body, near.host), (said.response.body, far.host)):
            assert (refused + image).encode() in body
            assert f"c=IN IP4 {host}".encode() in body
            assert origin_of(body).endswith(SWITCH)
        end(rig, near)
        assert rig.records()[0]["codec_used"] == "PCMA"

    @on_loop
    @FROM_EITHER
    async def test_image_alone_leaves_the_codec_of_the_record(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        body = "v=0\r\no=- 1 2 IN IP4 192.0.2.99\r\ns=-\r\nc=IN IP4 192.0.2.99\r\nt=0 0\r\nm=image 40002 udptl t38\r\n"
        far.describes = body.encode()
        assert near.reinvite(body.encode()).status == 200
        end(rig, near)
        assert rig.records()[0]["codec_used"] == "PCMA"


class TestCodecList:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_offer_is_filtered_and_put_in_order(self, make_rig: MakeRig, side: str, method: str) -> None:
        rig, near, far = listing(make_rig, side, "PCMU", "PCMA")
        near.say(method, describe_audio(near.host, version=2, payloads="18 101 8 9 0"))
        assert payloads_of(heard(far).request.body) == [0, 8, 101]
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_answer_is_filtered_in_its_own_order(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = listing(make_rig, side, "PCMU", "PCMA")
        far.describes = describe_audio(far.host, version=2, payloads="18 8 0")
        assert payloads_of(near.reinvite().response.body) == [8, 0]
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_codec_used_is_one_that_may_be_used(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = listing(make_rig, side, "PCMU", "PCMA")
        far.describes = describe_audio(far.host, version=2, payloads="18 8")
        near.reinvite()
        end(rig, near)
        assert rig.records()[0]["codec_used"] == "PCMA"

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_offer_is_refused_when_nothing_in_it_is_allowed(
        self, make_rig: MakeRig, side: str, method: str
    ) -> None:
        rig, near, far = listing(make_rig, side, "PCMU")
        said = near.say(method, describe_audio(near.host, version=2, payloads="18 101"))
        assert said.status == 488
        assert far.heard == []
        assert near.reinvite().status == 200  # the call goes on
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_both_sides_have_the_same_session_when_the_answer_is_not_allowed(
        self, make_rig: MakeRig, side: str
    ) -> None:
        # The far side has agreed to something: it is either put right by another offer, or the call ends.
        _, near, far = listing(make_rig, side, "PCMU", "PCMA")
        far.describes = describe_audio(far.host, version=2, payloads="18")
        said = near.reinvite(describe_audio(near.host, version=2, payloads="0 8"))
        assert said.status == 488
        assert heard(far).acks
        assert far.is_over or len(far.heard) > 1


class TestLateOffer:
    @on_loop
    @FROM_EITHER
    async def test_offer_is_in_the_answer_and_the_answer_in_the_ack(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.describes = describe_audio(far.host, version=5, payloads="9 8")
        said = near.say("INVITE", answer=describe_audio(near.host, version=6, payloads="9"), acknowledges=False)
        assert heard(far).request.body == b""
        assert "content-type" not in heard(far).request.headers
        assert payloads_of(said.response.body) == [9, 8]
        assert version_of(said.response.body) == "5"
        assert heard(far).acks == []  # it waits for the answer
        near.acknowledge(said)
        (ack,) = heard(far).acks
        assert ack.headers["content-type"] == ["application/sdp"]
        assert payloads_of(ack.body) == [9]
        assert version_of(ack.body) == "6"
        assert origin_of(ack.body).endswith(SWITCH)
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_answer_still_comes_when_the_offer_is_repeated_meanwhile(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say("INVITE", answer=describe_audio(near.host, version=6), acknowledges=False)
        rig.wire.advance(0.7)  # the far side's 200 is repeated after 0.5 s
        near.acknowledge(said)
        assert [bool(ack.body) for ack in heard(far).acks] == [True]
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_answer_still_comes_when_the_ack_was_lost(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        rig.wire.lose("ACK", near.host)
        near.say("INVITE", answer=describe_audio(near.host, version=6))
        rig.wire.advance(3.0)
        assert [bool(ack.body) for ack in heard(far).acks][:1] == [True]
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_codec_list_holds_for_offer_and_answer(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = listing(make_rig, side, "PCMU", "PCMA")
        far.describes = describe_audio(far.host, version=5, payloads="18 8 0")
        said = near.say("INVITE", answer=describe_audio(near.host, version=6, payloads="18 8"))
        assert payloads_of(said.response.body) == [0, 8]
        assert payloads_of(heard(far).acks[0].body) == [8]
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_codec_used_is_that_of_the_answer(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.describes = describe_audio(far.host, version=5, payloads="9 8")
        near.say("INVITE", answer=describe_audio(near.host, version=6, payloads="8"))
        end(rig, near)
        assert rig.records()[0]["codec_used"] == "PCMA"

    @on_loop
    @FROM_EITHER
    async def test_offer_is_answered_when_nothing_in_it_is_allowed(self, make_rig: MakeRig, side: str) -> None:
        _, near, far = listing(make_rig, side, "PCMU", "PCMA")
        far.describes = describe_audio(far.host, version=5, payloads="18")
        assert near.say("INVITE").status == 488
        (ack,) = heard(far).acks
        # RFC 3264 §6: an offer is answered; a stream that is not wanted is refused by port 0.
        assert ack.body or far.is_over

    @on_loop
    @FROM_EITHER
    async def test_call_ends_when_the_ack_never_comes(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        near.say("INVITE", acknowledges=False)
        rig.wire.advance(T1_64 + 2.0)
        assert_ended(rig, "NO_ACK", near, far)
        assert heard(far).acks  # what was answered is acknowledged, whatever became of the call
        assert not heard(far).is_given_up


class TestUpdate:
    @on_loop
    @FROM_EITHER
    async def test_offer_is_carried(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.describes = describe_audio(far.host, version=2, payloads="0")
        said = near.say("UPDATE", describe_audio(near.host, version=2, payloads="0 8"))
        request = heard(far).request
        assert (request.method, payloads_of(request.body)) == ("UPDATE", [0, 8])
        assert request.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert request.headers["content-type"] == ["application/sdp"]
        assert payloads_of(said.response.body) == [0]
        assert said.response.headers["contact"] == [f"<sip:{SWITCH}:5060>"]
        assert origin_of(said.response.body).endswith(SWITCH)
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_refresh_without_a_body_is_answered_by_the_switch(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        said = near.say("UPDATE")
        assert (said.status, said.response.body, "contact" in said.response.headers) == (200, b"", True)
        assert "content-type" not in said.response.headers
        assert [each.request.method for each in far.heard if each.request.method == "UPDATE"] == []
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_update_is_refused_while_an_invite_of_the_other_side_is_under_way(
        self, make_rig: MakeRig, side: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        near.reinvite()
        assert far.say("UPDATE", far.usual_session).status == 491
        assert near.say("UPDATE", near.usual_session).status == 500
        assert "retry-after" in near.said[-1].response.headers
        far.reply(heard(far))
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_refresh_is_carried_while_an_invite_is_under_way(self, make_rig: MakeRig, side: str) -> None:
        _, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        near.reinvite()
        assert far.say("UPDATE").status == 200

    @on_loop
    @FROM_EITHER
    async def test_second_update_is_refused_while_the_first_is_under_way(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["UPDATE"] = 0
        first = near.say("UPDATE", near.usual_session)
        second = near.say("UPDATE", near.usual_session)
        assert (first.status, second.status) == (0, 500)  # RFC 3311 §5.2
        assert 0 <= int(second.response.headers["retry-after"][0]) <= 10
        assert far.say("UPDATE", far.usual_session).status == 491
        far.reply(heard(far))
        assert first.status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("status", [488, 504, 603])
    async def test_refusal_is_passed(self, make_rig: MakeRig, side: str, status: int) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["UPDATE"] = status
        assert near.say("UPDATE", near.usual_session).status == status
        end(rig, near)


class TestText:
    @on_loop
    @FROM_EITHER
    async def test_digits_are_carried(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        digits = b"Signal=5\r\nDuration=160\r\n"
        headers = {"content-type": "application/dtmf-relay", "info-package": "x", "user-agent": "Secret/1"}
        said = near.say("INFO", digits, headers)
        request = heard(far).request
        assert said.status == 200
        assert (request.method, request.body) == ("INFO", digits)
        assert request.headers["content-type"] == ["application/dtmf-relay"]
        assert request.headers["info-package"] == ["x"]
        assert "user-agent" not in request.headers
        assert near.host not in request.to_bytes().decode()
        assert far.host not in said.response.to_bytes().decode()
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_message_is_carried(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["MESSAGE"] = 202
        headers = {"content-type": "text/plain;charset=UTF-8", "subject": "hi", "p-asserted-identity": "<sip:x@y>"}
        said = near.say("MESSAGE", "grüß dich".encode(), headers)
        request = heard(far).request
        assert said.status == 202
        assert request.body.decode() == "grüß dich"
        assert request.headers["content-type"] == ["text/plain;charset=UTF-8"]
        assert request.headers["subject"] == ["hi"]
        assert "p-asserted-identity" not in request.headers
        assert "contact" not in request.headers  # RFC 3428 §4
        assert near.host not in request.to_bytes().decode()
        end(rig, near)

    @on_loop
    async def test_body_of_an_answer_is_carried(self, make_rig: MakeRig) -> None:
        rig, near, far = call_up(make_rig)
        far.statuses["INFO"] = 0
        said = near.say("INFO")
        far.reply(heard(far), 200, b"<ok/>", {"content-type": "application/xml"})
        assert (said.response.body, said.response.headers["content-type"]) == (b"<ok/>", ["application/xml"])
        end(rig, near)

    @on_loop
    async def test_encoding_of_a_body_is_carried(self, make_rig: MakeRig) -> None:
        _, near, far = call_up(make_rig)
        said = near.say("MESSAGE", b"\x1f\x8b...", {"content-type": "text/plain", "content-encoding": "gzip"})
        assert said.status == 415 or heard(far).request.headers["content-encoding"] == ["gzip"]

    @on_loop
    @FROM_EITHER
    async def test_text_passes_while_an_offer_is_under_way(self, make_rig: MakeRig, side: str) -> None:
        rig, near, far = call_up(make_rig, side)
        far.statuses["INVITE"] = 0
        said = near.reinvite()
        invite = heard(far)
        assert near.say("INFO").status == far.say("INFO").status == 200
        assert near.say("MESSAGE", b"x", {"content-type": "text/plain"}).status == 200
        far.reply(invite)
        assert said.status == 200
        end(rig, near)

    @on_loop
    @FROM_EITHER
    async def test_text_passes_before_the_callers_ack(self, make_rig: MakeRig, side: str) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        rig.wire.lose("ACK", CALLER)
        rig.dial()
        near = rig.caller if side == "caller" else carrier
        assert near.say("INFO").status == 200
        rig.wire.advance(1.0)
        end(rig, near)

    @on_loop
    @pytest.mark.parametrize("status", [415, 469, 488, 500, 603])
    async def test_refusal_is_passed(self, make_rig: MakeRig, status: int) -> None:
        rig, near, far = call_up(make_rig)
        far.statuses["INFO"] = status
        assert near.say("INFO").status == status
        end(rig, near)
