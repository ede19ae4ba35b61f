"""The leg that we call: its user agent client (RFC 3261 §13.2).

It proves who we are, acknowledges what rings reliably and every 2xx, and ends what answers too late or twice.
"""

from collections.abc import Mapping
from typing import Final

from b2bua.call.client_request import repeated
from b2bua.call.leg import ALLOW, NO_HEADERS, SDP, Leg, LegUser, contact_of, next_hop
from b2bua.call.reliable_ringing import RingingReceiver, read_rseq
from b2bua.call.session_timer import lengthen
from b2bua.sip.dialog import Dialog
from b2bua.sip.digest_client import PROOFS, Tries
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.reason import format_reason
from b2bua.sip.transactions import ClientTransaction, ServerTransaction
from b2bua.transport.endpoint import Endpoint, new_token

_FORKS_LIMIT: Final = 20
"""Dialogs of one INVITE that are ended; those beyond are the peer's to give up."""


class CalleeLeg(Leg):
    """The leg that we call: we are its user agent client."""

    __slots__ = (
        "_ack",
        "_ack_flow",
        "_forks",
        "_invite",
        "_invite_cseq",
        "_invite_proofs",
        "_is_cancelled",
        "_ringing",
        "_tries",
        "gateway_id",
        "is_abandoned",
        "is_answered",
        "transaction",
    )

    def __init__(self, endpoint: Endpoint, flow: Flow, user: LegUser, user_agent: str) -> None:
        super().__init__(endpoint, flow, user, user_agent)
        self.transaction: ClientTransaction | None = None
        self.gateway_id = 0
        """The gateway that is called; 0: none."""
        self._ack = b""
        self._ack_flow = flow
        self._forks: dict[str, tuple[bytes, Flow]] = {}
        """The ACK of each dialog that was ended, by the peer's tag."""
        self._invite: Request | None = None
        """What is sent again with proof, or for a longer session, while it may be."""
        self._invite_cseq = 0
        self._invite_proofs: dict[str, list[str]] = {}
        self._tries: Tries | None = None
        self._ringing: RingingReceiver | None = None
        """Acknowledges provisional answers that want it."""
        self._is_cancelled = False
        self.is_abandoned = False
        """Whether nobody wants the answer any more."""
        self.is_answered = False

    def send_invite(
        self,
        uri: str,
        caller: str,
        callee: str,
        max_forwards: int,
        body: bytes,
        extra: Mapping[str, list[str]] = NO_HEADERS,
    ) -> Dialog:
        """Call.

        Args:
            uri: Request-URI.
            caller: From value, without a tag.
            callee: To value.
            max_forwards: Hops that are left.
            body: Session description, or empty.
            extra: Further headers, which come before ours of the same name.
        """
        call_id = f"{new_token()}{new_token()}"
        dialog = self.dialog = Dialog(call_id, caller, new_token(), contact_of(self.endpoint, self.flow), self.flow)
        dialog.remote = callee
        dialog.remote_target = uri
        dialog.local_cseq = self._invite_cseq = 1
        headers = Headers()
        headers["via"] = []  # its place, for the transaction layer
        headers["max-forwards"] = [str(max_forwards)]
        headers["from"] = [dialog.local_value]
        headers["to"] = [callee]
        headers["call-id"] = [call_id]
        headers["cseq"] = ["1 INVITE"]
        headers["contact"] = [dialog.contact]
        headers["allow"] = [ALLOW]
        if self.user_agent:
            headers["user-agent"] = [self.user_agent]
        if body:
            headers["content-type"] = [SDP]
        for name, values in extra.items():
            headers[name] = list(values)
        self._send_invite(Request("INVITE", uri, headers, body))
        return dialog

    def _send_invite(self, invite: Request) -> None:
        if "session-expires" in invite.headers:
            self._invite = invite
        if self.proof is not None:
            self.proof.prove(invite)
            self._invite = invite
            self._invite_proofs = {name: invite.headers[name] for name in PROOFS if name in invite.headers}
        self.transaction = self.endpoint.transactions.send_request(invite, self.flow, self.endpoint.now(), self)

    def _is_sent_again(self, response: Response) -> bool:
        """Whether the peer only wants to know who we are, or a longer session (RFC 3261 §22.2, RFC 4028 §7.3)."""
        invite, dialog = self._invite, self.dialog
        if (
            invite is None
            or dialog is None
            or not (lengthen(invite, response) if response.status == 422 else self._is_proved(response))
        ):
            return False
        dialog.local_cseq += 1
        self._invite_cseq = dialog.local_cseq
        self._send_invite(repeated(invite, self._invite_cseq))
        return True

    def _is_proved(self, response: Response) -> bool:
        if self.proof is None:
            return False
        if self._tries is None:
            self._tries = Tries()
        return self.proof.take(response, self._tries)

    def receive_response(self, response: Response) -> None:
        """An answer to our INVITE, provisional or final."""
        status = response.status
        if self.is_answered:
            if 200 <= status < 300:
                self._repeated_answer(response)
        elif self.is_abandoned:
            self._answered_in_vain(response)
        elif status < 200:
            if "rseq" not in response.headers or self._is_news(response):
                self.user.callee_responded(self, response)
        elif not self._is_sent_again(response):
            self._invite = None
            if status < 300:
                self.is_answered = True
                assert self.dialog is not None
                self.dialog.become_uac(response)
            self.user.callee_responded(self, response)

    def _is_news(self, response: Response) -> bool:
        """Acknowledge a provisional answer that wants it (RFC 3262 §4); returns whether it has not come before."""
        assert self.dialog is not None
        if self._ringing is None:
            self._ringing = RingingReceiver(self.endpoint, self.dialog, next_hop)
        if not self._ringing.receive(response, self._invite_cseq, self.proof):
            return False
        if read_rseq(response):
            self.dialog.become_uac(response)
            self.user.early_dialog_begun(self)
        return True

    def _repeated_answer(self, response: Response) -> None:
        assert self.dialog is not None
        if response.to_tag == self.dialog.remote_tag:
            if self._ack:
                self.endpoint.transactions.send_again(self._ack, self._ack_flow)
        else:
            self._end_fork(response)

    def _answered_in_vain(self, response: Response) -> None:
        if response.status < 200:
            self._send_cancel()
        elif response.status < 300:
            self._end_fork(response)

    def _end_fork(self, response: Response) -> None:
        """Acknowledge and end a dialog that nobody wants: a second answer, or one that came too late (§13.2.2.4)."""
        assert self.dialog is not None
        known = self._forks.get(response.to_tag)
        if known is not None:
            self.endpoint.transactions.send_again(*known)
            return
        if len(self._forks) >= _FORKS_LIMIT:
            return
        fork = Dialog(
            self.dialog.call_id, self.dialog.local, self.dialog.local_tag, self.dialog.contact, self.dialog.flow
        )
        fork.remote_target = self.dialog.remote_target
        fork.local_cseq = self._invite_cseq
        fork.become_uac(response)
        ack = self._make_ack(fork, b"")
        flow = next_hop(self.endpoint, fork.flow, ack)
        self._forks[response.to_tag] = self.endpoint.transactions.send_stateless(ack, flow), flow
        bye = fork.request("BYE")
        bye.headers["reason"] = [format_reason(16)]
        self._send_last(fork, bye)

    def _make_ack(self, dialog: Dialog, body: bytes) -> Request:
        ack = dialog.request("ACK", body, cseq=self._invite_cseq)
        ack.headers.update(self._invite_proofs)  # §22.1: nobody may ask for proof of an ACK
        if body:
            ack.headers["content-type"] = [SDP]
        return ack

    @property
    def is_acknowledged(self) -> bool:
        """Whether its 2xx has had its ACK."""
        return bool(self._ack)

    def send_ack(self, body: bytes) -> None:
        """Acknowledge the 2xx."""
        assert self.dialog is not None
        ack = self._make_ack(self.dialog, body)
        self._ack_flow = next_hop(self.endpoint, self.dialog.flow, ack)
        self._ack = self.endpoint.transactions.send_stateless(ack, self._ack_flow)

    def send_bye(self, cause: int, text: str) -> None:
        """End the dialog; its 2xx is acknowledged before (§13.2.2.4)."""
        self._acknowledge_at_last()
        super().send_bye(cause, text)

    def receive_bye(self, transaction: ServerTransaction, request: Request) -> bool:
        """The peer ends the dialog, whose 2xx may wait for the session description of the caller's ACK."""
        is_over = super().receive_bye(transaction, request)
        if is_over:
            self._acknowledge_at_last()
        return is_over

    def _acknowledge_at_last(self) -> None:
        if self.is_answered and not self._ack:
            self.send_ack(b"")

    def refuse_answer(self, cause: int, text: str) -> None:
        """The 2xx is of no use: acknowledge it and end its dialog."""
        self.is_abandoned = True
        self.send_ack(b"")
        self.send_bye(cause, text)

    def abandon(self) -> None:
        """Give up: CANCEL, once a provisional answer has come (§9.1); what comes all the same is ended."""
        if self.is_abandoned or self.transaction is None:
            return
        if self.is_answered:
            self.refuse_answer(16, "")  # its 2xx still waits for the media engine
            return
        self.is_abandoned = True
        if self.transaction.state == 0:
            self.endpoint.transactions.stop_repeating(self.transaction)
        else:
            self._send_cancel()

    def _send_cancel(self) -> None:
        transaction = self.transaction
        assert transaction is not None
        invite = transaction.request
        if invite is None or self._is_cancelled:
            return  # a final answer is in
        self._is_cancelled = True
        headers = Headers()
        headers["max-forwards"] = ["70"]
        for name in ("from", "to", "call-id"):
            headers[name] = invite.headers[name]
        headers["cseq"] = [f"{self._invite_cseq} CANCEL"]
        if "route" in invite.headers:
            headers["route"] = invite.headers["route"]
        cancel = Request("CANCEL", invite.uri, headers)
        self.endpoint.transactions.send_cancel(transaction, cancel, self.endpoint.now(), None)

    def unreachable(self, code: str) -> None:
        """No answer will come: the transaction timed out or its message could not be sent."""
        if not self.is_abandoned and not self.is_answered:
            self.user.callee_unreachable(self, code)
