"""Keeps the ways to registered telephones open that a NAT would close (RFC 5626 §4.4, RFC 3261 §11).

A telephone behind a NAT can be called for only as long as the NAT remembers it, often 30 s. So whatever came to this
worker is sent something every `[sip] nat_keep_alive` seconds: OPTIONS or two line ends on UDP, a line end on a
connection that the telephone has opened and nobody else can make. Each SIP user has its place in the interval, so there
is neither a timer nor a task for each, and never a burst.

What is answered to OPTIONS does not matter, and silence ends nothing: a binding lasts until it expires. Not here:
telephones that a proxy is between, whose way that proxy keeps open, and WebSockets, which are pinged anyway.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, Final

import structlog

from b2bua.call.client_request import ClientRequest
from b2bua.registrar.bindings import Binding
from b2bua.registrar.service import Follower
from b2bua.sip.flow import WEBSOCKETS, Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ClientTransaction
from b2bua.transport.endpoint import Endpoint, new_token
from conf.settings import SIPSettings

log = structlog.get_logger()

SLOTS: Final = 256
"""Places of an interval."""

LOOK: Final = 0.05
"""Seconds between two looks at whose turn it is."""

AT_ONCE: Final = 100
"""Most telephones of one look: 2,000 a second, or 50,000 in 25 s; where there are more it takes longer."""


class _Kept(ClientRequest):
    """One way that is kept open."""

    __slots__ = ("asked", "binding", "flow", "is_over", "is_waiting", "last_seen", "unanswered")

    def __init__(self, binding: Binding, flow: Flow) -> None:
        self.binding = binding
        self.flow = flow
        self.is_waiting = False
        self.is_over = False
        """Whether the binding is gone."""
        self.asked: ClientTransaction | None = None
        """The last OPTIONS, for as long as it has no answer."""
        self.unanswered = 0
        """OPTIONS in a row that had none."""
        self.last_seen: float | None = None
        """When one was answered last; seconds since 1970."""

    def answered(self, transaction: ClientTransaction, response: Response) -> None:
        """It lives, whatever it says."""
        self.asked = None
        self.unanswered = 0
        self.last_seen = time.time()


class KeepAlive(Follower):
    """The ways of one worker.

    Args:
        endpoint: Sends.
        settings: Section [sip].
        worker: This run of this worker: `sip-1:0192…`.
    """

    def __init__(self, endpoint: Endpoint, settings: SIPSettings, worker: str) -> None:
        self._endpoint = endpoint
        self._worker = worker
        self._name = worker.partition(":")[0]
        self._user_agent = settings.user_agent
        self._interval = settings.nat_keep_alive
        self._method = settings.nat_keep_alive_method if self._interval else "off"
        self._slots: list[dict[int, list[_Kept]]] = [{} for _ in range(SLOTS)]
        self._waiting: deque[_Kept] = deque()
        """Whose turn it is."""
        self._has_ways = asyncio.Event()
        self._began = endpoint.now()
        self._next_slot = 0
        """Since the beginning."""
        self.sent = 0
        """OPTIONS and line ends, since the start."""

    # Who

    def bindings_changed(self, sip_user_id: int, bindings: Sequence[Binding]) -> None:
        """Keep the ways of these, and of no others of the SIP user."""
        slot = self._slots[sip_user_id % SLOTS]
        before = slot.pop(sip_user_id, ())
        for kept in before:
            kept.is_over = True
        if self._method == "off":
            return
        known = {kept.binding.contact: kept for kept in before}
        wanted = (self._keep(binding, known.get(binding.contact)) for binding in bindings)
        after = [kept for kept in wanted if kept is not None]
        if after:
            slot[sip_user_id] = after
            self._has_ways.set()

    def _keep(self, binding: Binding, known: _Kept | None) -> _Kept | None:
        flow = self._flow(binding)
        if flow is None:
            return None
        if known is None or _way(known.binding) != _way(binding):
            return _Kept(binding, flow)
        known.is_over = False
        known.binding = binding
        return known

    def _flow(self, binding: Binding) -> Flow | None:
        """The way to keep open; None: it stays open by itself, or is not ours to keep."""
        if binding.worker_name != self._name or binding.path or binding.transport in WEBSOCKETS:
            return None
        flow = binding.flow(self._worker)
        if binding.transport != "udp":
            return flow if binding.source == binding.host else None
        if not binding.is_behind_nat:
            return None
        return flow or self._endpoint.flow_to("udp", binding.host, binding.port)

    def describe(self, sip_user_id: int, binding: Binding) -> dict[str, Any]:
        """How a way is kept open, and what came of it."""
        kept = self._find(sip_user_id, binding)
        method = "" if kept is None else self._method if kept.flow.transport == "udp" else "crlf"
        if binding.transport in WEBSOCKETS and binding.worker == self._worker:
            method = "ping"
        return {
            "keep_alive": method,
            "last_seen": kept.last_seen if kept else None,
            "unanswered": kept.unanswered if kept else 0,
        }

    def _find(self, sip_user_id: int, binding: Binding) -> _Kept | None:
        kept = self._slots[sip_user_id % SLOTS].get(sip_user_id, ())
        return next((each for each in kept if each.binding.contact == binding.contact), None)

    @property
    def count(self) -> int:
        """Ways that are kept open."""
        return sum(1 for _ in self._all())

    def _all(self) -> Iterator[_Kept]:
        for slot in self._slots:
            for several in slot.values():
                yield from several

    # When

    async def run(self) -> None:
        """Look whose turn it is, for ever."""
        if self._method == "off":
            return
        while True:
            if not any(self._slots):
                self._has_ways.clear()
                await self._has_ways.wait()  # a worker without telephones need not wake up
            await asyncio.sleep(LOOK)
            if self.turn(self._endpoint.now()):
                self._endpoint.end_of_turn()

    def turn(self, now: float) -> int:
        """Send what is due, but not more than a turn can bear; returns how many.

        Args:
            now: On the endpoint's clock.
        """
        self._collect(now)
        sent = 0
        while self._waiting and sent < AT_ONCE:
            kept = self._waiting.popleft()
            kept.is_waiting = False
            if not kept.is_over and kept.binding.expires_at > time.time():
                sent += 1
                try:
                    self._send(kept)
                except Exception:
                    # One telephone's fault must not end the others.
                    log.exception("way could not be kept open", contact=kept.binding.contact)
        self.sent += sent
        return sent

    def _collect(self, now: float) -> None:
        """Find whose turn has come since the last look."""
        due = int((now - self._began) * SLOTS / self._interval)
        # After a standstill everybody's turn comes once.
        for number in range(max(self._next_slot, due - SLOTS), due):
            for several in self._slots[number % SLOTS].values():
                for kept in several:
                    if not kept.is_waiting:
                        kept.is_waiting = True
                        self._waiting.append(kept)
        self._next_slot = max(self._next_slot, due)

    # What

    def _send(self, kept: _Kept) -> None:
        if kept.flow.transport == "udp" and self._method == "options":
            self._ask(kept)
        else:
            self._endpoint.keep_open(kept.flow, self._interval / 2)

    def _ask(self, kept: _Kept) -> None:
        if kept.asked is not None:
            kept.unanswered += 1
        endpoint, transactions = self._endpoint, self._endpoint.transactions
        there = kept.binding.request_uri
        headers = Headers()
        headers["max-forwards"] = ["70"]
        headers["from"] = [f"<sip:keep-alive@{endpoint.sent_by(kept.flow)}>;tag={new_token()}"]
        headers["to"] = [f"<{there}>"]
        headers["call-id"] = [new_token()]
        headers["cseq"] = ["1 OPTIONS"]
        if self._user_agent:
            headers["user-agent"] = [self._user_agent]
        kept.asked = transactions.send_request(Request("OPTIONS", there, headers), kept.flow, endpoint.now(), kept)
        # The next one is the repetition.
        transactions.stop_repeating(kept.asked)


def _way(binding: Binding) -> tuple[str, str, int, int, int, str]:
    return binding.transport, binding.host, binding.port, binding.listener, binding.connection, binding.worker
