"""Requests of ours that are no INVITE of a call: who hears of their answers, and a BYE that is asked for proof."""

from b2bua.sip.dialog import Dialog
from b2bua.sip.digest_client import DigestClient, Tries
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ClientTransaction
from b2bua.transport.endpoint import Endpoint


class ClientRequest:
    """Who a client transaction is for; the driver tells it what came of the request."""

    __slots__ = ()

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """An answer came, provisional or final."""

    def failed(self, transaction: ClientTransaction, code: str) -> None:
        """None will come: `NO_RESPONSE` or `TRANSPORT_FAILURE`."""


def repeated(request: Request, cseq: int) -> Request:
    """A request once more, as one of its own: another number, no Via yet (RFC 3261 §22.2)."""
    headers = Headers(request.headers)
    headers.pop("via", None)
    headers["cseq"] = [f"{cseq} {request.method}"]
    return Request(request.method, request.uri, headers, request.body)


class ProvedRequest(ClientRequest):
    """A request in a dialog that is sent again when the peer wants proof; nothing else that comes of it matters.

    Args:
        endpoint: Sends it.
        dialog: Gives the numbers.
        flow: Where it goes.
        proof: Answers the challenges.
        request: What was made in the dialog.
    """

    __slots__ = ("_dialog", "_endpoint", "_flow", "_proof", "_request", "_tries")

    def __init__(self, endpoint: Endpoint, dialog: Dialog, flow: Flow, proof: DigestClient, request: Request) -> None:
        self._endpoint = endpoint
        self._dialog = dialog
        self._flow = flow
        self._proof = proof
        self._request = request
        self._tries = Tries()

    def send(self) -> None:
        """Send it, with what the peer has asked before."""
        self._proof.prove(self._request)
        self._endpoint.transactions.send_request(self._request, self._flow, self._endpoint.now(), self)

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """Prove who we are where that is asked."""
        if self._proof.take(response, self._tries):
            self._dialog.local_cseq += 1
            self._request = repeated(self._request, self._dialog.local_cseq)
            self.send()
