"""Which gateways answer: what calls and probes have met lately (docs/behaviour.md §4)."""

from collections.abc import Callable, Iterable
from enum import IntEnum
from functools import partial
from typing import Final

from b2bua.call.gateway_location import Locate, Servers
from b2bua.call.leg import ALLOW
from b2bua.policy.routes import Gateway
from b2bua.sip.flow import Flow
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from b2bua.sip.timers import Timer
from b2bua.sip.transactions import ClientTransaction
from b2bua.sip.uri import join_host_port
from b2bua.transport.endpoint import Endpoint, TimerOwner, new_token

FAILURES: Final = 3
"""So many INVITEs or OPTIONS in a row without any answer, and a gateway is down."""

RETRY: Final = 30.0
"""Seconds after which a gateway that is not probed is tried by one call."""


class _State:
    __slots__ = ("down_since", "failures", "retry_at")

    def __init__(self) -> None:
        self.failures = 0
        self.down_since = 0.0
        self.retry_at = 0.0


class GatewayHealth:
    """What is known of gateways; one that nothing is known of is up.

    Args:
        clock: Gives monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._states: dict[int, _State] = {}
        self._places: dict[int, tuple[str, str, int | None]] = {}

    def is_down(self, gateway: Gateway) -> bool:
        """Whether a gateway is down, and it is not yet the moment to try it by a call."""
        state = self._states.get(gateway.id)
        if state is None or state.failures < FAILURES:
            return False
        return gateway.probe_interval > 0 or self._clock() < state.retry_at

    def tried(self, gateway_id: int) -> None:
        """A call goes to a gateway: where it is down, no other one does for a while."""
        state = self._states.get(gateway_id)
        if state is not None and state.failures >= FAILURES:
            state.retry_at = self._clock() + RETRY

    def answered(self, gateway_id: int) -> None:
        """Any answer at all is life."""
        self._states.pop(gateway_id, None)

    def silent(self, gateway_id: int) -> None:
        """An INVITE or OPTIONS met silence or a transport error."""
        state = self._states.setdefault(gateway_id, _State())
        state.failures += 1
        if state.failures == FAILURES:
            state.down_since = self._clock()
        if state.failures >= FAILURES:
            state.retry_at = self._clock() + RETRY

    def down(self) -> dict[int, float]:
        """Gateways that are down: id -> for how many seconds."""
        now = self._clock()
        return {
            gateway_id: now - state.down_since
            for gateway_id, state in self._states.items()
            if state.failures >= FAILURES
        }

    def follow(self, gateways: Iterable[Gateway]) -> None:
        """Keep what is known of these alone; what has moved is another one."""
        places = {gateway.id: (gateway.transport, gateway.host, gateway.port) for gateway in gateways}
        self._states = {
            gateway_id: state
            for gateway_id, state in self._states.items()
            if gateway_id in places and self._places.get(gateway_id, places[gateway_id]) == places[gateway_id]
        }
        self._places = places


class _ProbeTimer(IntEnum):
    NEXT = 0
    """Send the next OPTIONS."""
    SILENCE = 1
    """No answer to it came."""


class Probe(TimerOwner):
    """Asks one gateway now and then whether it is there (RFC 3261 §11)."""

    def __init__(self, endpoint: Endpoint, health: GatewayHealth, gateway: Gateway, locate: Locate) -> None:
        self._endpoint = endpoint
        self._health = health
        self._locate = locate
        self._servers: Servers | None = None
        self._round = 0
        self._timer: Timer[TimerOwner] | None = None
        self._asked: ClientTransaction | None = None
        self._is_waiting = False
        self.gateway = gateway

    def start(self, share: float) -> None:
        """Begin, after a share of the interval, so that not all are asked at once."""
        self._wait(self.gateway.probe_interval * share, _ProbeTimer.NEXT)

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._endpoint.wheel.cancel(self._timer)
            self._timer = None
        self._is_waiting = False

    def _wait(self, seconds: float, kind: _ProbeTimer) -> None:
        if self._timer is not None:
            self._endpoint.wheel.cancel(self._timer)
        self._timer = self._endpoint.add_timer(seconds, self, kind)

    def on_timer(self, kind: int, now: float) -> None:
        """Ask, or give up waiting for the answer."""
        self._timer = None
        if kind == _ProbeTimer.SILENCE:
            self._server_failed()
            return
        self._is_waiting = True
        self._asked = None
        self._wait(self.gateway.invite_timeout, _ProbeTimer.SILENCE)
        self._round += 1
        self._locate(self.gateway, partial(self._located, self._round))

    def _located(self, round_: int, flow: Flow | None, servers: Servers | None = None) -> None:
        if round_ != self._round or not self._is_waiting:
            return  # too late
        self._servers = servers
        if flow is None:
            self._unanswered()
        else:
            self._ask(flow)

    def _server_failed(self) -> None:
        """One server of its name after the other is asked before the gateway counts as silent."""
        flow = self._servers.fail() if self._servers is not None and self._is_waiting else None
        if flow is None:
            self._unanswered()
        else:
            self._wait(self.gateway.invite_timeout, _ProbeTimer.SILENCE)
            self._ask(flow)

    def _ask(self, flow: Flow) -> None:
        endpoint, gateway = self._endpoint, self.gateway
        there = f"sip:{join_host_port(gateway.host, gateway.port)}"
        headers = Headers()
        headers["max-forwards"] = ["70"]
        headers["from"] = [f"<sip:probe@{endpoint.sent_by(flow)}>;tag={new_token()}"]
        headers["to"] = [f"<{there}>"]
        headers["call-id"] = [new_token()]
        headers["cseq"] = ["1 OPTIONS"]
        headers["accept"] = ["application/sdp"]
        headers["allow"] = [ALLOW]
        options = Request("OPTIONS", there + flow.parameter, headers)
        self._asked = endpoint.transactions.send_request(options, flow, endpoint.now(), self)

    def answered(self, transaction: ClientTransaction) -> None:
        """An answer came, whatever it says, and however late."""
        self._health.answered(self.gateway.id)
        if self._is_waiting and transaction is self._asked:
            self._is_waiting = False
            if self._servers is not None:
                self._servers.answered()
            self._wait(self.gateway.probe_interval, _ProbeTimer.NEXT)

    def failed(self, transaction: ClientTransaction) -> None:
        """None will come to this one."""
        if transaction is self._asked:
            self._server_failed()

    def _unanswered(self) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._health.silent(self.gateway.id)
            self._wait(self.gateway.probe_interval, _ProbeTimer.NEXT)


class Prober:
    """Probes of all gateways that are to be probed."""

    def __init__(self, endpoint: Endpoint, health: GatewayHealth, locate: Locate) -> None:
        self._endpoint = endpoint
        self._health = health
        self._locate = locate
        self._probes: dict[int, Probe] = {}

    def update(self, gateways: Iterable[Gateway]) -> None:
        """Probe these, with their present addresses and intervals, and no others."""
        wanted = {gateway.id: gateway for gateway in gateways if gateway.probe_interval and gateway.status == "active"}
        for gateway_id, probe in list(self._probes.items()):
            gateway = wanted.get(gateway_id)
            if gateway is None or _address(gateway) != _address(probe.gateway):
                probe.stop()
                del self._probes[gateway_id]
            else:
                probe.gateway = gateway
        for number, (gateway_id, gateway) in enumerate(wanted.items()):
            if gateway_id not in self._probes:
                probe = self._probes[gateway_id] = Probe(self._endpoint, self._health, gateway, self._locate)
                probe.start(number / len(wanted))


def _address(gateway: Gateway) -> tuple[str, str, int | None, int]:
    return gateway.transport, gateway.host, gateway.port, gateway.probe_interval
