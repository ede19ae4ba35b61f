"""What an INVITE says to the decision: who calls, from where, whom, with which codecs (docs/behaviour.md §1, §2)."""

import time
from typing import Final

from b2bua.call.anchor import is_hidden
from b2bua.call.carrier_registration import dialled_number
from b2bua.call.forwarding import HEADER as FORWARD_HEADER
from b2bua.call.forwarding import ForwardSigner
from b2bua.policy.decision import CallRequest
from b2bua.policy.devices import normalise_address
from b2bua.policy.snapshot import Snapshot
from b2bua.sip.address import Address
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import Request
from b2bua.sip.uri import URI
from b2bua.sip.via import Via
from b2bua.transport.endpoint import Endpoint
from media.sdp import audio_codecs, connection_address

_LONGEST_NUMBER: Final = 128
"""Most characters of a number or name that a record keeps."""


class CallRequestReader:
    """Reads INVITEs.

    Args:
        proxies: Addresses of proxies of ours, whose word on where a request comes from counts.
        signer: Knows the signatures of calls that our calls lead to.
    """

    def __init__(self, proxies: frozenset[str], signer: ForwardSigner) -> None:
        self.proxies = proxies
        self._signer = signer

    def source_address(self, request: Request, flow: Flow) -> str:
        """Where a request comes from: behind a proxy of ours, what that proxy has seen (docs/behaviour.md §1.4).

        Raises:
            ParseError: The proxy's Via is malformed.
        """
        if flow.host not in self.proxies or len(request.headers["via"]) < 2:
            return flow.host
        via = Via.parse(request.headers["via"][1])
        return normalise_address(via.parameters.get("received") or via.host)

    def read(
        self, request: Request, flow: Flow, snapshot: Snapshot, endpoint: Endpoint, *, notes_nat: bool
    ) -> CallRequest:
        """Read what a decision needs.

        Args:
            request: The INVITE.
            flow: The way that it came.
            snapshot: The current configuration.
            endpoint: Where we listen.
            notes_nat: Whether it matters that media would not find its way.

        Raises:
            ParseError: Something that is needed is malformed.
        """
        source = self.source_address(request, flow)
        here = [gateway for _, gateway in snapshot.gateways_at.get(source, ())]
        # What comes to our registration at a carrier names us in the Request-URI, and the DID in To.
        number = dialled_number(request, URI.parse(request.uri).number, here)
        caller = Address.parse(request.headers["from"][0]).uri.number
        hops = request.headers.first("max-forwards") or "70"
        if not (hops.isascii() and hops.isdigit()) or len(hops := hops.lstrip("0") or "0") > 3:
            raise ParseError("Max-Forwards is not a number up to 255")
        facts = CallRequest(
            source,
            number[:_LONGEST_NUMBER],
            caller[:_LONGEST_NUMBER],
            tuple(audio_codecs(request.body)),
            int(hops),
            _is_looped(request, endpoint),
        )
        if "p-asserted-identity" in request.headers:
            facts.asserted = _asserted_number(request)
        if FORWARD_HEADER in request.headers:
            value = request.headers[FORWARD_HEADER][0]
            facts.forwarded_by = self._signer.account_of(value, facts.destination, time.time())
        if notes_nat:
            facts.is_behind_nat = _is_behind_nat(request, flow)
        return facts


def is_emergency(request: Request, snapshot: Snapshot) -> bool:
    """Whether a number is called that is never refused for want of room."""
    try:
        number = URI.parse(request.uri).number
    except ParseError:
        return False
    return snapshot.emergency.find(number) is not None


def wanted_privacy(request: Request) -> str:
    """What the caller wants hidden of itself (RFC 3323 §4.2); empty: nothing."""
    wanted = request.headers.first("privacy").lower().replace(" ", "")
    return wanted if {"id", "user", "header"} & set(wanted.split(";")) else ""


def _is_looped(request: Request, endpoint: Endpoint) -> bool:
    vias = request.headers["via"]
    if len(vias) < 2:
        return False
    for value in vias[1:]:
        via = Via.parse(value)
        if endpoint.is_ours(via.host, via.port):
            return True
    return False


def _is_behind_nat(request: Request, flow: Flow) -> bool:
    """Whether Via, Contact or the session names an address of a network that we do not see (docs/behaviour.md §5)."""
    source = flow.host
    if is_hidden(request.via.host, source) or is_hidden(connection_address(request.body), source):
        return True
    contact = request.headers.first("contact")
    if f"@{source}" in contact or f"@[{source}]" in contact:
        return False  # as of nearly everybody: it need not be parsed
    try:
        return is_hidden(Address.parse(contact).uri.host, source)
    except ParseError:
        return False


def _asserted_number(request: Request) -> str:
    """The number of P-Asserted-Identity (RFC 3325 §9.1), of a tel or sip URI; empty: none that can be read."""
    for value in request.headers["p-asserted-identity"]:
        try:
            number = Address.parse(split_outside_quotes(value, ",")[0]).uri.number
        except (ParseError, IndexError):
            continue
        if number:
            return number[:_LONGEST_NUMBER]
    return ""
