"""Dialogs (RFC 3261 §12): the identity, sequence numbers and route of a peer-to-peer relation, as plain values."""

from typing import Any

from b2bua.sip.address import split_address
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response


def contact_uri(message: Request | Response) -> str:
    """The URI of the first Contact as text, empty where there is none or it is malformed."""
    values = message.headers.get("contact")
    if not values:
        return ""
    try:
        return split_address(split_outside_quotes(values[0], ",")[0])[1]
    except ParseError:
        return ""


def record_route(message: Request | Response) -> list[str]:
    """The Record-Route values in their order, one each; malformed ones are left out."""
    values = message.headers.get("record-route")
    if not values:
        return []
    try:
        return [part for value in values for part in split_outside_quotes(value, ",")]
    except ParseError:
        return []


class Dialog:
    """One dialog, early or confirmed, from our side."""

    __slots__ = (
        "call_id",
        "contact",
        "flow",
        "local",
        "local_cseq",
        "local_tag",
        "remote",
        "remote_cseq",
        "remote_tag",
        "remote_target",
        "route_set",
    )

    def __init__(self, call_id: str, local: str, local_tag: str, contact: str, flow: Flow) -> None:
        self.call_id = call_id
        self.local = local
        """Our From or To value, without the tag."""
        self.local_tag = local_tag
        self.local_cseq = 0
        self.remote = ""
        """The peer's value, its tag included."""
        self.remote_tag = ""
        self.remote_cseq = -1
        """The peer's last number; -1: it has sent no request yet, and may begin with 0."""
        self.remote_target = ""
        """URI of the peer's Contact."""
        self.route_set: list[str] = []
        self.contact = contact
        """Our Contact value."""
        self.flow = flow
        """The way that the last message took."""

    @classmethod
    def as_uas(cls, request: Request, local_tag: str, contact: str, flow: Flow) -> "Dialog":
        """The dialog that our answer to an INVITE makes (§12.1.1)."""
        headers = request.headers
        dialog = cls(request.call_id, headers["to"][0], local_tag, contact, flow)
        dialog.remote = headers["from"][0]
        dialog.remote_tag = request.from_tag
        dialog.remote_cseq = request.cseq
        dialog.remote_target = contact_uri(request)
        dialog.route_set = record_route(request)
        return dialog

    def become_uac(self, response: Response) -> None:
        """Take over what the peer's answer to our INVITE says (§12.1.2)."""
        self.remote = response.headers["to"][0]
        self.remote_tag = response.to_tag
        self.remote_target = contact_uri(response) or self.remote_target
        self.route_set = record_route(response)[::-1]

    @property
    def local_value(self) -> str:
        """Our From or To value with our tag."""
        return f"{self.local};tag={self.local_tag}"

    def accepts(self, request: Request) -> bool:
        """Whether a request of the peer is in order (§12.2.2); remembers its CSeq."""
        if request.cseq <= self.remote_cseq:
            return False
        self.remote_cseq = request.cseq
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take over the Contact of a target refresh, or of its 2xx, once it has succeeded (§12.2, RFC 6141 §4)."""
        self.remote_target = contact_uri(message) or self.remote_target

    def request(self, method: str, body: bytes = b"", *, cseq: int | None = None) -> Request:
        """Make a request in the dialog (§12.2.1.1); an ACK takes the INVITE's number, given as `cseq`."""
        if cseq is None:
            self.local_cseq += 1
            cseq = self.local_cseq
        uri, routes = self._next_hop()
        headers = Headers()
        headers["via"] = []  # its place, for the transaction layer
        if routes:
            headers["route"] = routes
        headers["max-forwards"] = ["70"]
        headers["from"] = [self.local_value]
        headers["to"] = [self.remote]
        headers["call-id"] = [self.call_id]
        headers["cseq"] = [f"{cseq} {method}"]
        return Request(method, uri, headers, body)

    def _next_hop(self) -> tuple[str, list[str]]:
        if not self.route_set:
            return self.remote_target, []
        try:
            first = split_address(self.route_set[0])[1]
        except ParseError:
            return self.remote_target, list(self.route_set)
        if ";lr" in first.lower():
            return self.remote_target, list(self.route_set)
        # A strict router: its URI becomes the Request-URI, the target goes last (§12.2.1.1).
        return first, [*self.route_set[1:], f"<{self.remote_target}>"]

    def to_record(self) -> dict[str, Any]:
        """The dialog as plain values, enough for a successor of this process to end it."""
        flow = self.flow
        return {
            "call_id": self.call_id,
            "local": self.local,
            "local_tag": self.local_tag,
            "local_cseq": self.local_cseq,
            "remote": self.remote,
            "remote_tag": self.remote_tag,
            "remote_cseq": self.remote_cseq,
            "remote_target": self.remote_target,
            "route_set": self.route_set,
            "contact": self.contact,
            "flow": [flow.transport, flow.host, flow.port, flow.listener],
            "trust": list(flow.trust) if flow.trust is not None else None,
            "prefers_tcp": flow.large is not None,
            "behind_nat": flow.is_behind_nat,
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "Dialog":
        """The dialog that `to_record` wrote; its connection, if it had one, is gone."""
        transport, host, port, listener = record["flow"]
        trust = record.get("trust")  # what was written before it was kept has none
        large = Flow("tcp", host, port, listener) if record.get("prefers_tcp") else None
        flow = Flow(transport, host, port, listener, trust=Trust(*trust) if trust else None, large=large)
        flow.is_behind_nat = bool(record.get("behind_nat"))
        dialog = cls(record["call_id"], record["local"], record["local_tag"], record["contact"], flow)
        for name in ("local_cseq", "remote", "remote_tag", "remote_cseq", "remote_target", "route_set"):
            setattr(dialog, name, record[name])
        return dialog
