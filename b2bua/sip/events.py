"""All that the transaction layer can tell its user."""

from typing import TYPE_CHECKING

from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response

if TYPE_CHECKING:
    from b2bua.sip.transactions import ClientTransaction, ServerTransaction


class RequestReceived:
    """A new request that is neither ACK nor CANCEL."""

    __slots__ = ("flow", "request", "transaction")

    def __init__(self, transaction: "ServerTransaction", request: Request, flow: Flow) -> None:
        self.transaction = transaction
        self.request = request
        self.flow = flow


class AckReceived:
    """An ACK for a 2xx: it belongs to a dialog, not to a transaction (RFC 3261 §13.3.1.4)."""

    __slots__ = ("flow", "request")

    def __init__(self, request: Request, flow: Flow) -> None:
        self.request = request
        self.flow = flow


class CancelReceived:
    """A CANCEL for an INVITE that is still unanswered; the CANCEL itself has been answered (§9.2)."""

    __slots__ = ("request", "transaction")

    def __init__(self, transaction: "ServerTransaction", request: Request) -> None:
        self.transaction = transaction
        self.request = request


class ResponseReceived:
    """A response to a request of ours; each 2xx to an INVITE comes up, repeated ones too (RFC 6026 §7.2)."""

    __slots__ = ("response", "transaction")

    def __init__(self, transaction: "ClientTransaction", response: Response) -> None:
        self.transaction = transaction
        self.response = response


class TransactionTimedOut:
    """No final response to a request of ours, or no ACK to a final response of ours, within 64 × T1."""

    __slots__ = ("transaction",)

    def __init__(self, transaction: "ClientTransaction | ServerTransaction") -> None:
        self.transaction = transaction


class TransportFailed:
    """A message of this transaction could not be sent."""

    __slots__ = ("reason", "transaction")

    def __init__(self, transaction: "ClientTransaction | ServerTransaction", reason: str) -> None:
        self.transaction = transaction
        self.reason = reason


Event = RequestReceived | AckReceived | CancelReceived | ResponseReceived | TransactionTimedOut | TransportFailed
