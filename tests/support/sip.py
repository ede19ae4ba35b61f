"""SIP for tests: messages as bytes, a transaction layer with a clock of its own, and hypothesis strategies."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from b2bua.sip.address import Address
from b2bua.sip.digest import ALGORITHMS, Credentials
from b2bua.sip.events import Event
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import TOKEN, quote
from b2bua.sip.headers import Headers
from b2bua.sip.machine import Input, Table
from b2bua.sip.message import Request, Response, parse_message
from b2bua.sip.params import Parameters
from b2bua.sip.timers import Timing
from b2bua.sip.transactions import ClientTransaction, ServerTransaction, Transaction, TransactionLayer
from b2bua.sip.uri import URI
from b2bua.sip.via import Via

HERE = "192.0.2.1"
PEER = "198.51.100.7"
UDP = Flow("udp", PEER, 5060)
TCP = Flow("tcp", PEER, 5060, connection=1)

E = TypeVar("E", bound=Event)


# Messages


def message(start_line: str, headers: Iterable[str], body: bytes = b"") -> bytes:
    """Lines as they stand, with an empty line after them and the body."""
    head = "\r\n".join([start_line, *headers]) + "\r\n\r\n"
    return head.encode("utf-8", "surrogateescape") + body


def request_lines(
    method: str = "INVITE",
    *,
    branch: str = "z9hG4bKa1",
    transport: str = "UDP",
    sent_by: str = f"{PEER}:5060",
    from_tag: str = "alice1",
    to_tag: str = "",
    call_id: str = "call-1",
    cseq: int = 1,
) -> dict[str, str]:
    """The headers that every request has, by name, so that a test can change or drop one."""
    return {
        "Via": f"SIP/2.0/{transport} {sent_by}" + (f";branch={branch}" if branch else ""),
        "Max-Forwards": "70",
        "From": f"<sip:alice@{PEER}>" + (f";tag={from_tag}" if from_tag else ""),
        "To": f"<sip:bob@{HERE}>" + (f";tag={to_tag}" if to_tag else ""),
        "Call-ID": call_id,
        "CSeq": f"{cseq} {method}",
    }


def request(
    method: str = "INVITE",
    *,
    branch: str = "z9hG4bKa1",
    transport: str = "UDP",
    sent_by: str = f"{PEER}:5060",
    from_tag: str = "alice1",
    to_tag: str = "",
    call_id: str = "call-1",
    cseq: int = 1,
    uri: str = f"sip:bob@{HERE}",
    changed: Mapping[str, str | None] | None = None,
    body: bytes = b"",
) -> bytes:
    """A peer's request; `changed` headers are replaced, added or, with None, left out."""
    headers: dict[str, str | None] = dict(
        request_lines(
            method,
            branch=branch,
            transport=transport,
            sent_by=sent_by,
            from_tag=from_tag,
            to_tag=to_tag,
            call_id=call_id,
            cseq=cseq,
        )
    )
    headers["Content-Length"] = str(len(body))
    headers.update(changed or {})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return message(f"{method} {uri} SIP/2.0", lines, body)


def response(to: Request, status: int, *, to_tag: str = "bob1", headers: Iterable[str] = ()) -> bytes:
    """A peer's answer to a request of ours, written by hand, so that it owes nothing to `Response.to`."""
    source = to.headers
    recipient = source["to"][0]
    if to_tag and ";tag=" not in recipient:
        recipient += f";tag={to_tag}"
    lines = [f"Via: {value}" for value in source["via"]]
    lines += [f"From: {source['from'][0]}", f"To: {recipient}"]
    lines += [f"Call-ID: {source['call-id'][0]}", f"CSeq: {source['cseq'][0]}", *headers, "Content-Length: 0"]
    return message(f"SIP/2.0 {status} Whatever", lines)


def parse_request(data: bytes) -> Request:
    """Parse what must be a request."""
    parsed = parse_message(data)
    assert isinstance(parsed, Request)
    return parsed


def parse_response(data: bytes) -> Response:
    """Parse what must be a response."""
    parsed = parse_message(data)
    assert isinstance(parsed, Response)
    return parsed


def our_request(method: str = "INVITE", *, to_tag: str = "", cseq: int = 1, extra: Headers | None = None) -> Request:
    """A request of ours, before the transaction layer adds a Via."""
    headers = Headers(
        {
            "max-forwards": ["70"],
            "from": [f"<sip:alice@{HERE}>;tag=us1"],
            "to": [f"<sip:bob@{PEER}>" + (f";tag={to_tag}" if to_tag else "")],
            "call-id": ["call-2"],
            "cseq": [f"{cseq} {method}"],
            **(extra or {}),
        }
    )
    return Request(method, f"sip:bob@{PEER}", headers)


# The layer, driven as an endpoint drives it


@dataclass(slots=True)
class Sent:
    """Something that the layer wanted to be sent."""

    after: float
    """Seconds since the switch was made."""
    flow: Flow
    data: bytes
    transaction: Transaction | None

    @property
    def first_line(self) -> str:
        """The request or status line."""
        return self.data.partition(b"\r\n")[0].decode()

    @property
    def response(self) -> Response:
        """Parsed, where it must be a response."""
        return parse_response(self.data)

    @property
    def request(self) -> Request:
        """Parsed, where it must be a request."""
        return parse_request(self.data)


class Switch:
    """A transaction layer whose clock only `advance` moves."""

    def __init__(self, timing: Timing | None = None) -> None:
        self.started = self.now = 1000.0
        self._branches = 0
        self.layer = TransactionLayer(timing or Timing(), self._new_branch, lambda flow: f"{HERE}:5060")
        self._sent: list[Sent] = []
        self._events: list[Event] = []

    def _new_branch(self) -> str:
        self._branches += 1
        return f"own{self._branches}"

    def _drain(self) -> None:
        self._events += self.layer.take_events()
        self._sent += [Sent(self.now - self.started, *outgoing) for outgoing in self.layer.take_outgoing()]

    def receive(self, data: bytes, flow: Flow = UDP) -> None:
        """A message comes from the network."""
        self.layer.receive(data, flow, self.now, framed=flow.reliable)
        self._drain()

    def send(self, request: Request, flow: Flow = UDP, user: object = None) -> ClientTransaction:
        """Send a request of ours."""
        transaction = self.layer.send_request(request, flow, self.now, user)
        self._drain()
        return transaction

    def cancel(self, invite: ClientTransaction) -> Request:
        """Take back an INVITE of ours; returns the CANCEL."""
        assert invite.request is not None
        cancel = our_request("CANCEL", cseq=int(invite.request.headers["cseq"][0].partition(" ")[0]))
        self.layer.send_cancel(invite, cancel, self.now, None)
        self._drain()
        return cancel

    def answer(self, transaction: ServerTransaction, status: int, to_tag: str = "us1") -> None:
        """Answer a peer's request."""
        assert transaction.request is not None
        self.layer.send_response(transaction, Response.to(transaction.request, status, to_tag), self.now)
        self._drain()

    def advance(self, seconds: float) -> None:
        """Let time pass, and handle each deadline when it is due."""
        end = self.now + seconds
        while (deadline := self.layer.next_deadline()) is not None and deadline <= end:
            self.now = deadline
            self.layer.handle_timers(deadline)
            self._drain()
        self.now = end

    def fail(self, transaction: Transaction, reason: str = "refused") -> None:
        """The transport could not send a message of this transaction."""
        self.layer.transport_failed(transaction, reason, self.now)
        self._drain()

    def take_sent(self) -> list[Sent]:
        """What was sent since the last call."""
        sent, self._sent = self._sent, []
        return sent

    def take_events(self) -> list[Event]:
        """What happened since the last call."""
        events, self._events = self._events, []
        return events

    def take_event(self, kind: type[E]) -> E:
        """The one event since the last call, of this kind."""
        (event,) = self.take_events()
        assert isinstance(event, kind)
        return event


# Tables


def edges(table: Table) -> set[tuple[int, int]]:
    """Every change of state that a table knows."""
    return {(state, following) for state, row in table.items() for following, _ in row.values() if following != state}


def missing_pairs(table: Table, states: type[IntEnum], inputs: Sequence[Input]) -> list[tuple[int, int]]:
    """The pairs of a state and an input that a table does not have, or has without being asked to."""
    wanted = {(int(state), int(happened)) for state in states for happened in inputs}
    written = {(int(state), int(happened)) for state, row in table.items() for happened in row}
    return sorted(wanted ^ written)


# Strategies

tokens = st.text(sorted(TOKEN), min_size=1, max_size=12)
printable = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=20)
"""No control characters, everything else."""
wire_text = st.one_of(
    st.text(max_size=60),
    st.text('<>"\\;,=:@[]%/? \tsipSIP2.0udUDtagel5', max_size=60),
    st.binary(max_size=60).map(lambda data: data.decode("utf-8", "surrogateescape")),
)
"""What may stand in a header once bytes were decoded: anything, and often what the grammars care for."""
hosts = st.one_of(
    st.text("abcdefXYZ0189-.", min_size=1, max_size=20),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
)
ports = st.none() | st.integers(0, 65535)


def parameters(values: SearchStrategy[str]) -> SearchStrategy[Parameters]:
    """Parameters with these values; names are in lower case, as they are after parsing."""
    return st.dictionaries(tokens.map(str.lower), st.none() | values, max_size=4)


header_parameters = parameters(tokens | hosts.map(lambda host: f"[{host}]") | printable.map(quote))
users = st.text("abcXYZ019-_.!~*'()&=+$,;?/:%", min_size=1, max_size=16)
uris = st.one_of(
    st.builds(
        URI,
        st.sampled_from(["sip", "sips"]),
        users | st.just(""),
        hosts,
        ports,
        parameters(st.text("abcXYZ019-_.!~*'()[]/:&+$%", max_size=8)),
        st.text("abcXYZ019-_.!~*'()=&%[]/?:+$", max_size=12),
    ),
    st.builds(
        URI,
        st.just("tel"),
        st.text("+0123456789-.()", min_size=1, max_size=16),
        parameters=parameters(tokens),
    ),
)
vias = st.builds(Via, st.sampled_from(["UDP", "TCP", "TLS", "WS", "WSS", "TLS-SCTP"]), hosts, ports, header_parameters)
addresses = st.builds(Address, uris, printable, header_parameters)
_filled = printable.filter(bool)
_hex = st.text("0123456789abcdef", min_size=32, max_size=64)
_algorithms = st.sampled_from(sorted(ALGORITHMS))
credentials = st.builds(Credentials, _filled, _filled, _filled, _filled, _hex, _algorithms) | st.builds(
    Credentials, _filled, _filled, _filled, _filled, _hex, _algorithms, st.just("auth"), _hex, _filled
)


def mutations(original: bytes) -> SearchStrategy[bytes]:
    """The bytes with a few of them replaced, removed or repeated."""
    interesting = st.sampled_from([b"", b"\r", b"\n", b"\0", b'"', b"<", b">", b";", b",", b":", b" ", b"\xff", b"@"])
    edits = st.lists(
        st.tuples(st.integers(0, len(original)), st.integers(0, 30), interesting | st.binary(max_size=6)),
        min_size=1,
        max_size=4,
    )

    def apply(changes: list[tuple[int, int, bytes]]) -> bytes:
        data = original
        for position, removed, added in changes:
            data = data[:position] + added + data[position + removed :]
        return data

    return edits.map(apply)
