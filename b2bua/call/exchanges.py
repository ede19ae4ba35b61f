"""The requests that are on their way from one leg of a call to the other."""

from b2bua.call.exchange import Exchange
from b2bua.call.leg import Leg
from b2bua.sip.message import Request


class Exchanges:
    """Those under way, in the order in which they came."""

    __slots__ = ("_under_way",)

    def __init__(self) -> None:
        self._under_way: list[Exchange] = []

    def add(self, exchange: Exchange) -> None:
        """One more is on its way."""
        self._under_way.append(exchange)

    def remove(self, exchange: Exchange) -> None:
        """Nothing more comes of one."""
        if exchange in self._under_way:
            self._under_way.remove(exchange)

    def abandon(self) -> None:
        """What was said leads to nothing."""
        under_way, self._under_way = self._under_way, []
        for exchange in under_way:
            exchange.abandon()

    @property
    def is_offering(self) -> bool:
        """Whether one of them offers a session."""
        return any(exchange.is_offering for exchange in self._under_way)

    def glare(self, leg: Leg) -> int:
        """Status that refuses another offer of a leg's peer (RFC 3261 §14.2, RFC 3311 §5.2); 0: none is under way."""
        for exchange in self._under_way:
            if exchange.is_offering:
                return 500 if exchange.near is leg else 491
        return 0

    def ack_received(self, leg: Leg, request: Request) -> bool:
        """An ACK came; returns whether it was that of an INVITE which is one of them."""
        for exchange in self._under_way:
            if exchange.near is leg and exchange.method == "INVITE" and exchange.request.cseq == request.cseq:
                exchange.receive_ack(request)
                return True
        return False
