"""Bodies of several parts in calls: the session among them is taken, the rest is passed over (RFC 2046, RFC 5621)."""

from collections.abc import Callable

import pytest

from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from tests.b2bua.call.exchanges import FROM_EITHER, call_up, end, heard
from tests.b2bua.call.rig import CALLER, CARRIERS, NUMBER, SWITCH, Rig
from tests.b2bua.sip.test_multipart import part, parts
from tests.support import sip
from tests.support.legs import audio_session, on_loop, payloads_of
from tests.support.talking import describe_audio

MakeRig = Callable[..., Rig]
MIXED = "multipart/mixed;boundary=b"
ALTERNATIVE = "multipart/alternative;boundary=b"
OFFER = audio_session(CALLER, "PCMA", "telephone-event")
LOCATION = part(b"<presence/>", "application/pidf+xml", disposition="render;handling=optional")
SIGNALLING = part(b"\1\0", "application/isup;version=itu", disposition="signal;handling=required")


def invite(body: bytes, content_type: str, **changed: str | None) -> bytes:
    headers = {"Content-Type": content_type, "Contact": f"<sip:{CALLER}:5060>", **changed}
    return sip.request("INVITE", sent_by=f"{CALLER}:5060", uri=f"sip:{NUMBER}@{SWITCH}", body=body, changed=headers)


def answer(rig: Rig, request: Request, status: int, body: bytes, content_type: str) -> None:
    """The carrier answers by hand."""
    response = Response.to(request, status, "them", body)
    response.headers["contact"] = [f"<sip:{CARRIERS[0]}:5060>"]
    response.headers["content-type"] = [content_type]
    rig.switch.receive(response.to_bytes(), Flow("udp", CARRIERS[0], 5060))
    rig.switch.end_of_turn()
    rig.wire.settle()


def payloads_in(message: Request | Response) -> list[int]:
    """What a message offers or answers, which has nothing but a session description."""
    assert message.body.startswith(b"v=0\r\n")
    assert message.body.endswith(b"/8000\r\n")
    return payloads_of(message.body)


class TestInvite:
    @on_loop
    @pytest.mark.parametrize(
        ("body", "content_type"),
        [
            (parts(part(OFFER), SIGNALLING), MIXED),
            (parts(LOCATION, part(OFFER)), MIXED),
            (parts(part(b"hello", "text/plain"), part(OFFER)), ALTERNATIVE),
            (OFFER, "Application/SDP ; charset=utf-8"),
        ],
    )
    async def test_session_is_offered_when_it_is_one_part_of_several(
        self, make_rig: MakeRig, body: bytes, content_type: str
    ) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.send(invite(body, content_type))
        (offered,) = carrier.invites
        assert offered.headers["content-type"] == ["application/sdp"]
        assert payloads_in(offered) == [8, 101]

    @on_loop
    @pytest.mark.parametrize(
        ("body", "content_type", "disposition"),
        [
            (b"<presence/>", "application/pidf+xml", "render; handling=optional"),
            (b"<presence/>", "application/pidf+xml", 'Render;Handling="Optional"'),
            (parts(LOCATION, LOCATION), MIXED, None),
            (parts(SIGNALLING), MIXED, "session;handling=optional"),
        ],
    )
    async def test_nothing_is_offered_when_all_that_is_there_may_be_passed_over(
        self, make_rig: MakeRig, body: bytes, content_type: str, disposition: str | None
    ) -> None:
        rig = make_rig()
        carrier = rig.carrier(answers=False)
        rig.send(invite(body, content_type, **{"Content-Disposition": disposition}))
        (offered,) = carrier.invites
        assert (offered.body, offered.headers.get("content-type")) == (b"", None)

    @on_loop
    @pytest.mark.parametrize(
        ("body", "content_type", "changed"),
        [
            (parts(part(b"hello", "text/plain")), MIXED, {}),
            (parts(LOCATION, SIGNALLING), MIXED, {}),
            (b"<presence/>", "application/pidf+xml", {"Content-Disposition": "render;handling=required"}),
            (b"<presence/>", "application/pidf+xml", {"Content-Disposition": "render"}),
            (OFFER, "application/sdp", {"Content-Encoding": "gzip"}),
            (b"no part at all", MIXED, {}),
            (b"handling=optional", "text/plain;handling=optional", {}),
        ],
    )
    async def test_call_is_refused_when_there_is_no_session_and_something_else_counts(
        self, make_rig: MakeRig, body: bytes, content_type: str, changed: dict[str, str]
    ) -> None:
        rig = make_rig()
        carrier = rig.carrier()
        said = rig.send(invite(body, content_type, **changed))
        assert (said.status, said.headers["accept"]) == (415, ["application/sdp"])
        assert carrier.invites == []


class TestAnswer:
    @on_loop
    @pytest.mark.parametrize("status", [183, 200])
    async def test_session_of_the_callee_is_taken_when_it_is_one_part_of_several(
        self, make_rig: MakeRig, status: int
    ) -> None:
        rig = make_rig()
        carrier = rig.carrier(rings=False, answers=False)
        rig.dial()
        session = audio_session(CARRIERS[0], "PCMA")
        answer(rig, carrier.invites[0], status, parts(SIGNALLING, part(session)), MIXED)
        (passed,) = rig.wire.responses(status, SWITCH, CALLER)
        assert passed.headers["content-type"] == ["application/sdp"]
        assert payloads_in(passed) == [8]

    @on_loop
    async def test_body_is_passed_over_when_it_has_no_session(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        carrier = rig.carrier(rings=False, answers=False)
        rig.dial()
        answer(rig, carrier.invites[0], 183, parts(SIGNALLING), MIXED)
        (passed,) = rig.wire.responses(183, SWITCH, CALLER)
        assert (passed.body, passed.headers.get("content-type")) == (b"", None)

    @on_loop
    async def test_answer_in_the_ack_is_taken_when_it_is_one_part_of_several(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        rig.caller.offers_late = True
        rig.carrier()
        rig.dial()
        leg = rig.caller.leg
        assert leg is not None
        assert leg.dialog is not None
        ack = leg.dialog.request("ACK", parts(LOCATION, part(OFFER)), cseq=1)
        ack.headers["content-type"] = [MIXED]
        rig.caller.endpoint.transactions.send_stateless(ack, leg.flow)
        rig.caller.endpoint.end_of_turn()
        rig.wire.settle()
        (passed,) = rig.wire.requests("ACK", SWITCH, CARRIERS[0])
        assert passed.headers["content-type"] == ["application/sdp"]
        assert payloads_in(passed) == [8, 101]


class TestWithin:
    @on_loop
    @FROM_EITHER
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_session_is_offered_again_when_it_is_one_part_of_several(
        self, make_rig: MakeRig, side: str, method: str
    ) -> None:
        rig, near, far = call_up(make_rig, side)
        body = parts(part(describe_audio(near.host, version=2, direction="sendonly")), SIGNALLING)
        headers = {"content-type": MIXED, "mime-version": "1.0"}
        assert near.say(method, body, headers).status == 200
        carried = heard(far).request
        assert carried.headers["content-type"] == ["application/sdp"]
        assert b"a=sendonly" in carried.body
        assert b"isup" not in carried.body
        end(rig, near)

    @on_loop
    @pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
    async def test_request_is_refused_when_it_has_no_session(self, make_rig: MakeRig, method: str) -> None:
        rig, near, far = call_up(make_rig)
        said = near.say(method, parts(SIGNALLING), {"content-type": MIXED})
        assert (said.status, said.response.headers["accept"]) == (415, ["application/sdp"])
        assert far.heard == []
        end(rig, near)

    @on_loop
    async def test_body_of_several_parts_passes_when_it_is_no_session_s(self, make_rig: MakeRig) -> None:
        rig, near, far = call_up(make_rig)
        body = parts(part(b"hello", "text/plain"))
        assert near.say("MESSAGE", body, {"content-type": MIXED}).status == 200
        assert heard(far).request.body == body
        end(rig, near)
