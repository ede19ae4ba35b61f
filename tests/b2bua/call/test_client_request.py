"""Proof in a call of ours: INVITE, ACK and BYE (RFC 3261 §22.1, §22.2), on the legs alone."""

from typing import Any

import pytest

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.client_request import ClientRequest, repeated
from b2bua.sip.digest import Credentials
from b2bua.sip.digest_client import PROOFS, DigestClient
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import ResponseReceived
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.transport.endpoint import new_token
from tests.support.carriers import SECRET, USER, WaryCarrier
from tests.support.legs import Wire, WiredCaller, on_loop

CALLER, CARRIER = "192.0.2.1", "203.0.113.1"


class ProvingCaller(WiredCaller):
    """A caller that can prove who it is, as the driver's legs do."""

    secret = SECRET

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, CALLER)
        self.refused: list[Response] = []

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Hand answers to the requests that wait for them."""
        if isinstance(event, ResponseReceived) and isinstance(event.transaction.user, ClientRequest):
            event.transaction.user.answered(event.transaction, event.response)
        else:
            super().handle_event(event, now)

    def callee_responded(self, leg: CalleeLeg, response: Response) -> None:
        """Remember refusals."""
        if response.status >= 300:
            self.refused.append(response)
        super().callee_responded(leg, response)

    def dial(self, host: str = CARRIER, number: str = "442079460000", transport: str = "udp") -> None:
        """Call with a name and a secret."""
        flow = self.endpoint.flow_to(transport, host, 5060)
        assert flow is not None
        leg = self.leg = CalleeLeg(self.endpoint, flow, self, "")
        leg.proof = DigestClient(USER, self.secret, new_token)
        to = f"sip:{number}@{host}:5060"
        leg.send_invite(to, f"<sip:1@{CALLER}>", f"<{to}>", 70, self.session, {"x-trunk": ["7"]})
        self.endpoint.end_of_turn()
        self.wire.settle()


class Pair:
    def __init__(self, **how: Any) -> None:
        self.wire = Wire()
        self.caller = ProvingCaller(self.wire)
        self.carrier = WaryCarrier(self.wire, CARRIER, **how)

    def hang_up(self) -> None:
        self.caller.hang_up()
        self.wire.settle()

    def labels(self) -> list[str]:
        return self.wire.labels(CALLER, CARRIER)


class TestInvite:
    @on_loop
    @pytest.mark.parametrize("status", [401, 407])
    @pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256"])
    @pytest.mark.parametrize("qop", ["auth", ""])
    async def test_call_is_up_when_it_is_challenged(self, status: int, algorithm: str, qop: str) -> None:
        pair = Pair(status=status, algorithms=(algorithm,), qop=qop)
        pair.caller.dial()
        again = ["INVITE", f"{status} INVITE", "ACK", "INVITE", "180 INVITE", "200 INVITE", "ACK"]
        assert pair.labels() == again
        assert pair.caller.is_answered.is_set()
        assert pair.carrier.is_answered.is_set()
        assert pair.caller.refused == []

    @on_loop
    async def test_request_is_the_same_but_for_number_branch_and_proof(self) -> None:
        pair = Pair(rings=False)
        pair.caller.dial()
        first, second = pair.wire.requests("INVITE")
        assert (first.cseq, second.cseq) == (1, 2)
        assert first.via.branch != second.via.branch
        own = {"via", "cseq", *PROOFS}
        assert {name: values for name, values in first.headers.items() if name not in own} == {
            name: values for name, values in second.headers.items() if name not in own
        }
        assert len(second.headers["via"]) == 1
        assert (first.uri, first.body) == (second.uri, second.body)
        assert second.headers["x-trunk"] == ["7"]
        assert "proxy-authorization" not in first.headers
        assert Credentials.parse(second.headers["proxy-authorization"][0]).uri == first.uri

    @on_loop
    async def test_ack_has_number_and_proof_of_the_invite(self) -> None:
        pair = Pair()
        pair.caller.dial()
        ack = pair.wire.requests("ACK")[-1]
        invite = pair.wire.requests("INVITE")[-1]
        assert ack.cseq == invite.cseq == 2
        assert ack.headers["proxy-authorization"] == invite.headers["proxy-authorization"]

    @on_loop
    async def test_stronger_algorithm_is_proved_when_there_are_several(self) -> None:
        pair = Pair(algorithms=("MD5", "SHA-256"))
        pair.caller.dial()
        assert [proof.algorithm for proof in pair.carrier.accepted] == ["SHA-256"]

    @on_loop
    async def test_call_fails_when_the_secret_is_wrong(self) -> None:
        pair = Pair()
        pair.carrier.secret = "another"
        pair.caller.dial()
        assert pair.labels() == ["INVITE", "407 INVITE", "ACK"] * 2
        assert [response.status for response in pair.caller.refused] == [407]

    @on_loop
    async def test_call_fails_when_the_challenge_cannot_be_answered(self) -> None:
        pair = Pair(qop="auth-int")
        pair.caller.dial()
        assert pair.labels() == ["INVITE", "407 INVITE", "ACK"]
        assert [response.status for response in pair.caller.refused] == [407]

    @on_loop
    async def test_answer_of_the_second_request_is_lost_and_repeated(self) -> None:
        pair = Pair(rings=False)
        pair.wire.lose("200 INVITE", CARRIER)
        pair.caller.dial()
        assert not pair.caller.is_answered.is_set()
        pair.wire.advance(1.0)
        assert pair.caller.is_answered.is_set()

    @on_loop
    async def test_cancel_is_of_the_second_request(self) -> None:
        pair = Pair(answers=False)
        pair.caller.dial()
        pair.caller.cancel()
        pair.wire.settle()
        (cancel,) = pair.wire.requests("CANCEL")
        invite = pair.wire.requests("INVITE")[-1]
        assert (cancel.cseq, cancel.via.branch) == (invite.cseq, invite.via.branch)
        assert pair.labels()[-4:] == ["CANCEL", "200 CANCEL", "487 INVITE", "ACK"]

    @on_loop
    async def test_nothing_is_proved_when_nobody_wants_the_call_any_more(self) -> None:
        pair = Pair()
        pair.wire.lose("INVITE", CALLER)
        pair.caller.dial()
        pair.caller.cancel()
        leg = pair.caller.leg
        assert isinstance(leg, CalleeLeg)
        leg.receive_response(Response(407, "", Headers({"proxy-authenticate": ['Digest realm="x", nonce="y"']})))
        pair.caller.endpoint.end_of_turn()
        assert len(pair.wire.requests("INVITE")) == 1


class TestBye:
    @on_loop
    async def test_proof_goes_along_with_the_next_count(self) -> None:
        pair = Pair()
        pair.caller.dial()
        pair.hang_up()
        assert pair.labels()[-2:] == ["BYE", "200 BYE"]
        assert [(proof.nc, proof.uri) for proof in pair.carrier.accepted][1:] == [("00000002", f"sip:{CARRIER}:5060")]
        assert pair.wire.requests("BYE")[0].cseq == 3

    @on_loop
    async def test_request_is_sent_again_when_the_nonce_is_old(self) -> None:
        pair = Pair(uses=1)
        pair.caller.dial()
        pair.hang_up()
        assert pair.labels()[-4:] == ["BYE", "407 BYE", "BYE", "200 BYE"]
        first, second = pair.wire.requests("BYE")
        assert (first.cseq, second.cseq) == (3, 4)
        assert first.headers["reason"] == second.headers["reason"]
        assert pair.carrier.hang_up_causes == [16]

    @on_loop
    async def test_request_is_sent_once_more_only_when_proof_is_refused(self) -> None:
        pair = Pair()
        pair.caller.dial()
        pair.carrier.secret = "changed"
        pair.hang_up()
        assert pair.labels()[-4:] == ["BYE", "407 BYE"] * 2

    @on_loop
    async def test_second_dialog_of_a_fork_is_ended_with_proof(self) -> None:
        pair = Pair()
        pair.caller.dial()
        (answer,) = pair.wire.responses(200)
        answer.headers["to"] = [answer.headers["to"][0].replace(answer.to_tag, "other")]
        leg = pair.caller.leg
        assert isinstance(leg, CalleeLeg)
        answer.read_identity()
        leg.receive_response(answer)
        pair.caller.endpoint.end_of_turn()
        ack, bye = pair.wire.requests("ACK")[-1], pair.wire.requests("BYE")[-1]
        assert (ack.to_tag, ack.cseq, bye.to_tag) == ("other", 2, "other")
        assert ack.headers["proxy-authorization"] == pair.wire.requests("INVITE")[-1].headers["proxy-authorization"]
        assert Credentials.parse(bye.headers["proxy-authorization"][0]).nc == "00000002"


class TestRepeated:
    def test_copy_leaves_the_first_as_it_was(self) -> None:
        request = Request("BYE", "sip:x", Headers({"via": ["v"], "cseq": ["7 BYE"], "x": ["1"]}), b"b")
        copy = repeated(request, 8)
        assert (copy.method, copy.uri, copy.body) == ("BYE", "sip:x", b"b")
        assert copy.headers == {"cseq": ["8 BYE"], "x": ["1"]}
        assert request.headers == {"via": ["v"], "cseq": ["7 BYE"], "x": ["1"]}
