"""Where requests in a dialog go, and how we are to be reached (RFC 3261 §12.2.1.1, §12.1.1, RFC 7118)."""

from collections.abc import Sequence

import pytest

from b2bua.call.leg import contact_of, next_hop
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request
from b2bua.transport.endpoint import Endpoint
from conf.settings import SIPSettings
from tests.b2bua.transport.test_endpoint import User
from tests.support.legs import on_loop

PEER = "20.30.40.7"
LISTEN = (
    "udp://192.0.2.1:5060",
    "tcp://192.0.2.1:5060",
    "tls://192.0.2.1:5061",
    "ws://192.0.2.1:80",
    "wss://192.0.2.1:443",
)
TRUST = Trust("name", "sip.carrier.example")


def bye(target: str, routes: Sequence[str] = ()) -> Request:
    headers = Headers({"route": list(routes)}) if routes else Headers()
    return Request("BYE", target, headers)


def hop(flow: Flow, target: str, *routes: str) -> Flow:
    return next_hop(Endpoint(SIPSettings(listen=LISTEN), User()), flow, bye(target, routes))


class TestNextHop:
    @on_loop
    @pytest.mark.parametrize(
        "target",
        [f"sip:bob@{PEER}:5060", f"sip:{PEER}:5060;transport=udp", f"sip:bob@{PEER}:5060;lr", "sip:bob@carrier.example",
         "sip:bob@10.0.0.1:5060", "rubbish"],
    )  # fmt: skip
    async def test_way_is_kept_when_it_leads_there_or_nothing_better_is_known(self, target: str) -> None:
        flow = Flow("udp", PEER, 5060)
        assert hop(flow, target) is flow

    @on_loop
    async def test_way_is_kept_when_the_peer_is_behind_nat_unless_it_has_a_route(self) -> None:
        flow = Flow("udp", "10.9.0.1", 40_000)
        assert str(hop(flow, "sip:bob@10.0.0.7:5060")) == "udp:10.0.0.7:5060"
        flow.is_behind_nat = True
        assert hop(flow, "sip:bob@10.0.0.7:5060") is flow
        assert str(hop(flow, "sip:bob@10.0.0.7:5060", "<sip:20.30.40.9;lr>")) == "udp:20.30.40.9:5060"

    @on_loop
    @pytest.mark.parametrize(
        ("target", "place"),
        [
            (f"sip:bob@{PEER}:50600", f"udp:{PEER}:50600"),
            (f"sip:bob@{PEER}:5060;transport=tcp", f"tcp:{PEER}:5060"),
            (f"sips:bob@{PEER}", f"tls:{PEER}:5061"),
            ("sip:bob@20.30.40.9", "udp:20.30.40.9:5060"),
            ("sip:bob@20.30.40.9;transport=TLS", "tls:20.30.40.9:5061"),
        ],
    )
    async def test_another_way_is_taken_when_the_target_is_elsewhere(self, target: str, place: str) -> None:
        assert str(hop(Flow("udp", PEER, 5060), target)) == place

    @on_loop
    async def test_longer_address_is_another_one(self) -> None:
        assert str(hop(Flow("udp", "0.30.40.9", 5060), "sip:bob@20.30.40.9:5060")) == "udp:20.30.40.9:5060"

    @on_loop
    async def test_first_route_stands_above_the_target(self) -> None:
        flow = Flow("udp", PEER, 5060)
        assert str(hop(flow, f"sip:bob@{PEER}:5060", "<sip:20.30.40.9;lr>")) == "udp:20.30.40.9:5060"

    @on_loop
    async def test_other_server_of_a_carrier_has_to_show_the_same_certificate(self) -> None:
        flow = hop(Flow("tls", PEER, 5061, 2, trust=TRUST), "sip:bob@20.30.40.9:5061;transport=tls")
        assert (str(flow), flow.trust) == ("tls:20.30.40.9:5061", TRUST)

    @on_loop
    async def test_other_server_of_a_carrier_gets_large_messages_the_same_way(self) -> None:
        first = Flow("udp", PEER, 5060, large=Flow("tcp", PEER, 5060, 1))
        flow = hop(first, "sip:bob@20.30.40.9")
        assert str(flow.large) == "tcp:20.30.40.9:5060"

    @on_loop
    @pytest.mark.parametrize("transport", ["ws", "wss"])
    async def test_way_of_a_websocket_is_the_only_one(self, transport: str) -> None:
        flow = Flow(transport, PEER, 40000, 3, 7)
        assert hop(flow, "sip:bob@df7jal23ls0d.invalid;transport=ws") is flow
        assert hop(flow, "sip:bob@20.30.40.9;transport=ws") is flow


class TestContact:
    @on_loop
    @pytest.mark.parametrize(
        ("transport", "listener", "contact", "secure"),
        [
            ("udp", 0, "<sip:192.0.2.1:5060>", "<sip:192.0.2.1:5060>"),
            ("tcp", 1, "<sip:192.0.2.1:5060;transport=tcp>", "<sip:192.0.2.1:5060;transport=tcp>"),
            ("tls", 2, "<sip:192.0.2.1:5061;transport=tls>", "<sips:192.0.2.1:5061>"),
            ("ws", 3, "<sip:192.0.2.1:80;transport=ws>", "<sip:192.0.2.1:80;transport=ws>"),
            ("wss", 4, "<sip:192.0.2.1:443;transport=ws>", "<sips:192.0.2.1:443;transport=ws>"),
        ],
    )
    async def test_peer_is_told_how_to_reach_us(self, transport: str, listener: int, contact: str, secure: str) -> None:
        endpoint, flow = Endpoint(SIPSettings(listen=LISTEN), User()), Flow(transport, PEER, 5060, listener)
        assert contact_of(endpoint, flow) == contact
        assert contact_of(endpoint, flow, is_secure=True) == secure
