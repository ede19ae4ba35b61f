"""The endpoint: its turns, its addresses and its timers, on loopback sockets and on a wire."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from b2bua.ban.bans import BanList
from b2bua.sip.events import Event, RequestReceived, ResponseReceived, TransportFailed
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.headers import Headers
from b2bua.sip.message import Response
from b2bua.tasks import stop_all
from b2bua.transport.endpoint import Endpoint, PortTaken, TokenSource, new_token
from conf.errors import ConfigurationError
from conf.settings import SIPSettings
from tests.support import sip
from tests.support.legs import Wire, WiredEndpoint, on_loop

PATIENCE = 5.0
BOTH = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0")


class User:
    """Keeps events, answers every request with a status, and notes in which order things happen."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.events: list[Event] = []
        self.happened: list[str] = []
        self.endpoint: Endpoint
        self._changed = asyncio.Event()
        self.fails = False

    def handle_event(self, event: Event, now: float) -> None:
        self.events.append(event)
        self.happened.append(type(event).__name__)
        self._changed.set()
        if self.fails:
            raise ZeroDivisionError("a fault of ours")
        if isinstance(event, RequestReceived) and self.status:
            answer = Response.to(event.request, self.status, "us1")
            self.endpoint.transactions.send_response(event.transaction, answer, now)

    def before_send(self) -> None:
        self.happened.append("before_send")

    async def wait_for(self, kind: type[Event]) -> Event:
        async with asyncio.timeout(PATIENCE):
            while True:
                for event in self.events:
                    if isinstance(event, kind):
                        return event
                self._changed.clear()
                await self._changed.wait()


@asynccontextmanager
async def opened(*listen: str, user: User | None = None) -> AsyncIterator[tuple[Endpoint, User]]:
    """An endpoint that listens, and its user."""
    user = user or User()
    user.endpoint = endpoint = Endpoint(SIPSettings(listen=listen or BOTH, user_agent=""), user)
    try:
        await endpoint.open()
        endpoint.start()
        yield endpoint, user
    finally:
        endpoint.close()
        await stop_all()


class TestOpening:
    @on_loop
    @pytest.mark.parametrize("transport", ["udp", "tcp"])
    async def test_fault_names_the_address_when_its_port_is_taken(self, transport: str) -> None:
        async with opened(f"{transport}://127.0.0.1:0") as (first, _):
            port = first.addresses[0].port
            second = Endpoint(SIPSettings(listen=(f"{transport}://127.0.0.1:{port}",)), User())
            with pytest.raises(PortTaken, match=rf"^cannot listen on {transport}://127\.0\.0\.1:{port}: .*in use"):
                await second.open()
        assert issubclass(PortTaken, ConfigurationError)

    @on_loop
    async def test_what_was_bound_is_free_again_when_another_port_is_taken(self) -> None:
        async with opened("tcp://127.0.0.1:0") as (first, _):
            taken = first.addresses[0].port
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(("127.0.0.1", 0))
                free = probe.getsockname()[1]
            listen = (f"udp://127.0.0.1:{free}", f"tcp://127.0.0.1:{taken}")
            with pytest.raises(PortTaken):
                await Endpoint(SIPSettings(listen=listen), User()).open()
            async with opened(f"udp://127.0.0.1:{free}"):
                pass

    @on_loop
    async def test_ports_are_chosen_by_the_system_when_they_are_zero(self) -> None:
        async with opened() as (endpoint, _):
            udp, tcp = endpoint.addresses
            assert udp.port
            assert tcp.port
            assert endpoint.sent_by(Flow("tcp", "127.0.0.1", 9, 1)) == f"127.0.0.1:{tcp.port}"

    @on_loop
    async def test_sending_fails_when_it_is_closed(self) -> None:
        async with opened("udp://127.0.0.1:0") as (endpoint, user):
            endpoint.close()
            endpoint.transactions.send_request(
                sip.our_request("OPTIONS"), Flow("udp", "127.0.0.1", 9), endpoint.now(), None
            )
            endpoint.end_of_turn()
            failure = user.events[0]
            assert isinstance(failure, TransportFailed)
            assert failure.reason == "listener is closed"


class TestTwoEndpoints:
    @on_loop
    @pytest.mark.parametrize("listen", ["udp://127.0.0.1:0", "tcp://127.0.0.1:0", "udp://[::1]:0", "tcp://[::1]:0"])
    async def test_request_is_answered_when_both_use_the_same_transport(self, listen: str) -> None:
        async with opened(listen) as (one, caller), opened(listen) as (other, callee):
            address = other.addresses[0]
            flow = one.flow_to(address.transport, address.host, address.port)
            assert flow is not None
            one.transactions.send_request(sip.our_request("OPTIONS"), flow, one.now(), None)
            one.end_of_turn()
            answered = await caller.wait_for(ResponseReceived)
            assert isinstance(answered, ResponseReceived)
            assert answered.response.status == 200
            received = await callee.wait_for(RequestReceived)
            assert isinstance(received, RequestReceived)
            shown = f"[::1]:{one.addresses[0].port}" if "[" in listen else f"127.0.0.1:{one.addresses[0].port}"
            assert received.request.headers["via"][0].startswith(f"SIP/2.0/{address.transport.upper()} {shown};")

    @on_loop
    async def test_transaction_fails_when_the_connection_is_refused(self) -> None:
        async with opened() as (endpoint, user):
            server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            server.close()
            await server.wait_closed()
            flow = endpoint.flow_to("tcp", "127.0.0.1", port)
            assert flow is not None
            wanted = endpoint.transactions.send_request(sip.our_request(), flow, endpoint.now(), None)
            elsewhere = endpoint.flow_to("udp", "127.0.0.1", port)
            assert elsewhere is not None
            endpoint.transactions.send_request(sip.our_request(), elsewhere, endpoint.now(), None)
            endpoint.end_of_turn()
            failure = await user.wait_for(TransportFailed)
            assert isinstance(failure, TransportFailed)
            assert failure.transaction is wanted
            assert len(user.events) == 1


class TestTrusting:
    @on_loop
    async def test_request_that_demands_another_name_goes_on_when_a_connection_cannot_be_made(self) -> None:
        user = User()
        endpoint = Endpoint(SIPSettings(listen=("tls://192.0.2.1:5061",), user_agent=""), user)
        sent = []
        for name in ("a.example", "b.example"):
            flow = endpoint.flow_to("tls", "192.0.2.7", 5061, trust=Trust("name", name))
            assert flow is not None
            sent.append(endpoint.transactions.send_request(sip.our_request("OPTIONS"), flow, endpoint.now(), None))
        endpoint.connection_failed(sent[0].flow, "certificate refused")
        (failed,) = user.events
        assert isinstance(failed, TransportFailed)
        assert failed.transaction is sent[0]

    @on_loop
    async def test_request_fails_when_its_connection_ends_whoever_it_would_trust_on_another(self) -> None:
        async with opened("tcp://127.0.0.1:0") as (endpoint, user):
            async with opened("tcp://127.0.0.1:0", user=User(status=0)) as (peer, _):
                address = endpoint.addresses[0]
                flow = peer.flow_to("tcp", address.host, address.port)
                assert flow is not None
                peer.transactions.send_request(sip.our_request("OPTIONS"), flow, peer.now(), None)
                peer.end_of_turn()
                came = await user.wait_for(RequestReceived)
                assert isinstance(came, RequestReceived)
                way = came.flow
                back = Flow(way.transport, way.host, way.port, way.listener, way.connection, Trust("name", "a.example"))
                sent = endpoint.transactions.send_request(sip.our_request("BYE"), back, endpoint.now(), None)
                endpoint.end_of_turn()
            failed = await user.wait_for(TransportFailed)
            assert isinstance(failed, TransportFailed)
            assert failed.transaction is sent


class TestLarge:
    """RFC 3261 §18.1.1, on sockets: one peer that has both transports at a port, and one that has UDP alone."""

    async def ask(self, listen: Callable[[int], tuple[str, ...]]) -> tuple[str, str]:
        """Send a large request to a peer; returns the transport of its way, and that of the Via that came."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        async with opened() as (endpoint, user), opened(*listen(port)) as (_, peer):
            flow = endpoint.flow_to("udp", "127.0.0.1", port, prefers_tcp=True)
            assert flow is not None
            request = sip.our_request("OPTIONS", extra=Headers({"subject": ["x" * 2000]}))
            endpoint.transactions.send_request(request, flow, endpoint.now(), None)
            endpoint.end_of_turn()
            answered = await user.wait_for(ResponseReceived)
            assert isinstance(answered, ResponseReceived)
            assert answered.response.status == 200
            received = await peer.wait_for(RequestReceived)
            assert isinstance(received, RequestReceived)
            return received.flow.transport, received.request.via.transport

    @on_loop
    async def test_large_request_goes_by_tcp_when_the_peer_has_it(self) -> None:
        way = await self.ask(lambda port: (f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}"))
        assert way == ("tcp", "TCP")

    @on_loop
    async def test_large_request_goes_by_udp_when_the_peer_refuses_tcp(self) -> None:
        assert await self.ask(lambda port: (f"udp://127.0.0.1:{port}",)) == ("udp", "UDP")


class TestAddresses:
    def make(self, *listen: str, advertise: str = "") -> Endpoint:
        return Endpoint(SIPSettings(listen=listen, advertise=advertise), User())

    @on_loop
    async def test_flow_begins_at_the_first_listener_of_transport_and_family(self) -> None:
        endpoint = self.make("udp://192.0.2.1:5060", "tcp://192.0.2.1:5060", "udp://[2001:db8::1]:5060")
        flows = [
            endpoint.flow_to("udp", "198.51.100.7", 5060),
            endpoint.flow_to("tcp", "198.51.100.7", 5060),
            endpoint.flow_to("udp", "2001:db8::7", 5060),
        ]
        assert [flow.listener if flow else None for flow in flows] == [0, 1, 2]

    @on_loop
    async def test_there_is_no_flow_when_no_listener_fits(self) -> None:
        endpoint = self.make("udp://192.0.2.1:5060")
        assert endpoint.flow_to("tcp", "198.51.100.7", 5060) is None
        assert endpoint.flow_to("udp", "2001:db8::7", 5060) is None

    @on_loop
    async def test_peer_sees_the_address_that_we_listen_on(self) -> None:
        endpoint = self.make("udp://192.0.2.1:5070", "udp://[2001:db8::1]:5070")
        assert endpoint.sent_by(Flow("udp", "198.51.100.7", 5060, 0)) == "192.0.2.1:5070"
        assert endpoint.sent_by(Flow("udp", "2001:db8::7", 5060, 1)) == "[2001:db8::1]:5070"

    @on_loop
    async def test_peer_sees_the_address_of_the_route_when_we_listen_on_all(self) -> None:
        endpoint = self.make("udp://0.0.0.0:5060")
        assert endpoint.sent_by(Flow("udp", "127.0.0.1", 5060, 0)) == "127.0.0.1:5060"

    @on_loop
    async def test_peer_sees_what_is_advertised_when_something_is(self) -> None:
        endpoint = self.make("udp://0.0.0.0:5060", advertise="sip.example.com")
        assert endpoint.sent_by(Flow("udp", "127.0.0.1", 5060, 0)) == "sip.example.com:5060"

    @on_loop
    async def test_listener_is_chosen_by_the_route_when_several_fit(self) -> None:
        endpoint = self.make("udp://192.0.2.200:5060", "udp://0.0.0.0:5062", "udp://127.0.0.1:5064", "udp://[::1]:5066")
        flows = [endpoint.flow_to("udp", host, 5060) for host in ("127.0.0.1", "::1")]
        assert [flow.listener if flow else None for flow in flows] == [2, 3]
        # A route that begins at none of them leaves by the one that listens on all.
        others = self.make("udp://192.0.2.200:5060", "udp://0.0.0.0:5062").flow_to("udp", "127.0.0.1", 5060)
        assert others is not None
        assert others.listener == 1

    @on_loop
    async def test_there_is_no_flow_to_an_address_of_one_link(self) -> None:
        endpoint = self.make("udp://[::]:5060")
        assert endpoint.flow_to("udp", "fe80::1", 5060) is None
        assert endpoint.flow_to("udp", "fe80::1%eth0", 5060) is None

    @on_loop
    async def test_flow_carries_what_a_certificate_has_to_show_where_there_is_one(self) -> None:
        endpoint = self.make(
            "udp://192.0.2.1:5060", "tcp://192.0.2.1:5060", "tls://192.0.2.1:5061", "ws://192.0.2.1:80"
        )
        trust = Trust("name", "sip.carrier.example")
        flows = [
            endpoint.flow_to(transport, "198.51.100.7", 5060, trust=trust) for transport in ("udp", "tcp", "tls", "ws")
        ]
        assert [flow.trust if flow else "no flow" for flow in flows] == [None, None, trust, trust]

    @on_loop
    async def test_flow_has_a_way_for_large_messages_where_the_peer_prefers_tcp_and_we_have_it(self) -> None:
        endpoint = self.make("udp://192.0.2.1:5060", "tcp://192.0.2.1:5060")
        flow = endpoint.flow_to("udp", "198.51.100.7", 5060, prefers_tcp=True)
        assert flow is not None
        assert flow.large is not None
        assert (flow.large.transport, flow.large.address, flow.large.listener) == ("tcp", "198.51.100.7:5060", 1)
        for other in (
            endpoint.flow_to("udp", "198.51.100.7", 5060),
            endpoint.flow_to("tcp", "198.51.100.7", 5060, prefers_tcp=True),
            self.make("udp://192.0.2.1:5060").flow_to("udp", "198.51.100.7", 5060, prefers_tcp=True),
        ):
            assert other is not None
            assert other.large is None

    @on_loop
    async def test_flow_to_ourselves_is_by_udp_where_we_have_it(self) -> None:
        endpoint = self.make("wss://0.0.0.0:443", "tls://0.0.0.0:5061", "udp://[::]:5060")
        flow = endpoint.flow_to_self()
        assert (flow.transport, flow.address, flow.listener) == ("udp", "[::1]:5060", 2)
        other = self.make("wss://0.0.0.0:443", "tls://0.0.0.0:5061").flow_to_self()
        assert (other.transport, other.address, other.trust) == ("tls", "127.0.0.1:5061", Trust("none", ""))

    @on_loop
    async def test_peer_sees_what_its_listener_advertises_first(self) -> None:
        endpoint = self.make(
            "udp://0.0.0.0:5060?advertise=203.0.113.5:5080", "tcp://0.0.0.0:5060", "tcp://[::]:5060",
            advertise="203.0.113.9",
        )  # fmt: skip
        assert endpoint.sent_by(Flow("udp", "127.0.0.1", 5060, 0)) == "203.0.113.5:5080"
        assert endpoint.sent_by(Flow("tcp", "127.0.0.1", 5060, 1)) == "203.0.113.9:5060"
        # An address of the other version of IP would be of no use.
        assert endpoint.sent_by(Flow("tcp", "::1", 5060, 2)) == "[::1]:5060"

    @on_loop
    @pytest.mark.parametrize(
        ("host", "port", "transport", "is_ours"),
        [
            ("2001:DB8:0::1", 5060, "UDP", True),
            ("2001:db8::1", None, "UDP", True),
            ("2001:db8::1", None, "TLS", True),
            ("2001:db8::1", 5061, "TLS", True),
            ("2001:db8::1", 5062, "TLS", False),
            ("203.0.113.5", 5080, "UDP", True),
            ("SIP.example.com", 5061, "TLS", True),
            ("192.0.2.1", 5070, "TCP", True),
        ],
    )
    async def test_via_is_ours_however_it_is_written(
        self, host: str, port: int | None, transport: str, is_ours: bool
    ) -> None:
        endpoint = self.make(
            "udp://[2001:db8::1]:5060", "tls://[2001:db8::1]:5061", "udp://0.0.0.0:5060?advertise=203.0.113.5:5080",
            "tcp://192.0.2.1:5070", advertise="sip.example.com",
        )  # fmt: skip
        assert endpoint.is_ours(host, port, transport) is is_ours

    @on_loop
    async def test_routes_are_asked_for_anew_now_and_then(self) -> None:
        endpoint = self.make("udp://0.0.0.0:5060")
        endpoint.sent_by(Flow("udp", "127.0.0.1", 5060, 0))
        endpoint.close_idle()
        assert endpoint._sent_by == {}
        # What was shown before is still ours.
        assert endpoint.is_ours("127.0.0.1", 5060)

    @on_loop
    async def test_via_is_ours_when_it_names_a_listener_or_what_was_shown(self) -> None:
        endpoint = self.make("udp://192.0.2.1:5060", "tcp://0.0.0.0:5080", advertise="sip.example.com")
        assert endpoint.is_ours("192.0.2.1", 5060)
        assert endpoint.is_ours("192.0.2.1", None)
        assert not endpoint.is_ours("192.0.2.1", 5061)
        assert not endpoint.is_ours("198.51.100.7", 5060)
        assert not endpoint.is_ours("127.0.0.1", 5080)
        assert endpoint.is_ours("sip.example.com", 5080)


class TestTurn:
    @on_loop
    async def test_journal_is_written_before_anything_is_sent(self) -> None:
        wire, user = Wire(), User()
        user.endpoint = endpoint = WiredEndpoint(wire, sip.HERE, user)
        wire.watchers.append(lambda carried: user.happened.append(f"sent {carried.label}"))
        endpoint.add_after_turn(lambda: user.happened.append("after_turn"))
        endpoint.receive(sip.request("OPTIONS"), sip.UDP)
        endpoint.end_of_turn()
        assert user.happened == [
            "RequestReceived", "before_send", "sent 200 OPTIONS", "after_turn",
        ]  # fmt: skip

    @on_loop
    async def test_what_follows_from_a_failed_send_is_sent_in_the_same_turn(self) -> None:
        wire = Wire()
        user = User()
        user.endpoint = endpoint = WiredEndpoint(wire, sip.HERE, user)
        wire.unreachable.add("198.51.100.8")

        class Retrying(User):
            def handle_event(self, event: Event, now: float) -> None:
                super().handle_event(event, now)
                if isinstance(event, TransportFailed):
                    endpoint.transactions.send_request(sip.our_request(), sip.UDP, now, None)

        endpoint._user = Retrying()
        endpoint.transactions.send_request(sip.our_request(), Flow("udp", "198.51.100.8", 5060), wire.now, None)
        endpoint.end_of_turn()
        assert [carried.target for carried in wire.carried] == [sip.PEER]

    @on_loop
    async def test_other_events_are_handled_when_one_is_a_fault_of_ours(self) -> None:
        wire, user = Wire(), User()
        user.endpoint = endpoint = WiredEndpoint(wire, sip.HERE, user)
        user.fails = True
        endpoint.receive(sip.request("OPTIONS", branch="z9hG4bKa"), sip.UDP)
        endpoint.receive(sip.request("OPTIONS", branch="z9hG4bKb"), sip.UDP)
        endpoint.end_of_turn()
        assert len(user.events) == 2

    @on_loop
    async def test_rubbish_changes_nothing(self) -> None:
        wire, user = Wire(), User()
        endpoint = WiredEndpoint(wire, sip.HERE, user)
        endpoint.receive(b"\x00\xff rubbish", sip.UDP)
        endpoint.end_of_turn()
        assert (user.events, wire.carried) == ([], [])
        assert endpoint.transactions.malformed == 1


class TestKeepAlive:
    """RFC 5626 §4.4.2."""

    @on_loop
    async def test_binding_request_is_answered_on_the_sip_port(self) -> None:
        async with opened("udp://127.0.0.1:0") as (endpoint, user):
            loop = asyncio.get_running_loop()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
                peer.setblocking(False)
                peer.connect(("127.0.0.1", endpoint.addresses[0].port))
                peer.send(bytes.fromhex("0001 0000 2112a442") + b"twelve bytes")
                async with asyncio.timeout(PATIENCE):
                    answer = await loop.sock_recv(peer, 1500)
            assert answer[:2] == b"\x01\x01"
            assert answer[8:20] == b"twelve bytes"
            assert user.events == []


class TestStreams:
    async def exchange(self, endpoint: Endpoint, data: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.addresses[0].port)
        writer.write(data)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        return answer

    @on_loop
    async def test_request_that_is_too_long_is_refused_and_the_connection_closed(self) -> None:
        async with opened("tcp://127.0.0.1:0") as (endpoint, user):
            large = sip.request("INVITE", transport="TCP", changed={"Content-Length": "70000"}) + b"x" * 70_000
            answer = await self.exchange(endpoint, large)
            assert answer.startswith(b"SIP/2.0 513 ")
            assert user.events == []

    @on_loop
    async def test_nothing_is_answered_when_it_is_not_a_request(self) -> None:
        async with opened("tcp://127.0.0.1:0") as (endpoint, _):
            assert await self.exchange(endpoint, b"x" * 70_000) == b""

    @on_loop
    async def test_request_is_sent_again_when_a_connection_that_had_served_is_gone(self) -> None:
        # A peer may close an idle connection at the very moment at which we use it.
        async with opened("tcp://127.0.0.1:0") as (endpoint, user):
            streams: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
            server = await asyncio.start_server(lambda *stream: streams.put_nowait(stream), "127.0.0.1", 0)
            flow = endpoint.flow_to("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
            assert flow is not None

            async def take() -> tuple[bytes, asyncio.StreamWriter]:
                async with asyncio.timeout(PATIENCE):
                    reader, writer = await streams.get()
                    return await reader.readuntil(b"\r\n\r\n"), writer

            endpoint.transactions.send_request(sip.our_request("OPTIONS"), flow, endpoint.now(), None)
            endpoint.end_of_turn()
            first, writer = await take()
            writer.write(sip.response(sip.parse_request(first), 200))
            await user.wait_for(ResponseReceived)
            endpoint.transactions.send_request(sip.our_request("OPTIONS"), flow, endpoint.now(), None)
            endpoint.end_of_turn()
            writer.close()
            second, writer = await take()
            assert second != first
            writer.close()
            # The second connection never served: there is no third.
            failure = await user.wait_for(TransportFailed)
            assert isinstance(failure, TransportFailed)
            assert failure.reason == "connection was closed by the peer"
            server.close()


class TestBanned:
    """docs/behaviour.md §1, 1."""

    @on_loop
    async def test_message_is_dropped_without_an_answer_when_its_source_is_banned(self) -> None:
        wire, user, bans = Wire(), User(), BanList()
        user.endpoint = endpoint = WiredEndpoint(wire, sip.HERE, user)
        endpoint.is_banned = bans.is_banned
        bans.add(sip.PEER, wire.now + 10.0)
        endpoint.receive(sip.request("OPTIONS", branch="z9hG4bKa"), sip.UDP)
        endpoint.receive(b"rubbish", sip.UDP)
        endpoint.receive(sip.request("OPTIONS", branch="z9hG4bKb"), Flow("udp", "198.51.100.8", 5060))
        endpoint.end_of_turn()
        assert [carried.target for carried in wire.carried] == ["198.51.100.8"]
        assert len(user.events) == 1
        assert (endpoint.banned, endpoint.transactions.malformed) == (2, 0)

    @on_loop
    async def test_message_is_answered_when_the_ban_is_over(self) -> None:
        wire, user, bans = Wire(), User(), BanList()
        user.endpoint = endpoint = WiredEndpoint(wire, sip.HERE, user)
        endpoint.is_banned = bans.is_banned
        bans.add(sip.PEER, wire.now + 10.0)
        wire.advance(10.0)
        endpoint.receive(sip.request("OPTIONS"), sip.UDP)
        endpoint.end_of_turn()
        assert [carried.label for carried in wire.carried] == ["200 OPTIONS"]
        assert endpoint.banned == 0

    @on_loop
    async def test_stream_of_a_banned_source_is_not_answered(self) -> None:
        bans = BanList()
        async with opened("tcp://127.0.0.1:0") as (one, caller), opened("tcp://127.0.0.1:0") as (other, callee):
            other.is_banned = bans.is_banned
            bans.add("127.0.0.1", other.now() + 60.0)
            flow = one.flow_to("tcp", "127.0.0.1", other.addresses[0].port)
            assert flow is not None
            one.transactions.send_request(sip.our_request("OPTIONS"), flow, one.now(), None)
            one.end_of_turn()
            async with asyncio.timeout(PATIENCE):
                while not other.banned:  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(0.01)
            assert callee.events == []
            assert not any(isinstance(event, ResponseReceived) for event in caller.events)
            assert other.connections == 0

    @on_loop
    async def test_open_stream_is_closed_when_its_source_is_banned_meanwhile(self) -> None:
        bans = BanList()
        async with opened("tcp://127.0.0.1:0") as (endpoint, user):
            endpoint.is_banned = bans.is_banned
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.addresses[0].port)
            writer.write(sip.request("OPTIONS", transport="TCP"))
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                bans.add("127.0.0.1", endpoint.now() + 60.0)
                writer.write(sip.request("OPTIONS", transport="TCP", branch="z9hG4bKother"))
                assert await reader.read() == b""
            writer.close()
            assert (len(user.events), endpoint.banned) == (1, 1)


class Owner:
    """Waits for deadlines."""

    def __init__(self, does: Callable[[], object] = lambda: None) -> None:
        self.kinds: list[int] = []
        self.rang = asyncio.Event()
        self._does = does

    def on_timer(self, kind: int, now: float) -> None:
        self.kinds.append(kind)
        self.rang.set()
        self._does()


class TestTimers:
    @on_loop
    async def test_owner_hears_of_its_deadline_on_the_real_loop(self) -> None:
        async with opened() as (endpoint, user):
            owner, late = Owner(), Owner()
            endpoint.add_timer(60.0, late, 1)
            endpoint.end_of_turn()
            began = endpoint.now()
            endpoint.add_timer(0.03, owner, 7)
            endpoint.end_of_turn()
            async with asyncio.timeout(PATIENCE):
                await owner.rang.wait()
            assert endpoint.now() - began >= 0.03
            assert (owner.kinds, late.kinds) == ([7], [])
            assert user.happened[-1] == "before_send"

    @on_loop
    async def test_owner_hears_nothing_when_its_deadline_was_cancelled(self) -> None:
        wire = Wire()
        endpoint = WiredEndpoint(wire, sip.HERE, User())
        owner = Owner()
        timer = endpoint.add_timer(1.0, owner, 1)
        endpoint.wheel.cancel(timer)
        wire.advance(2.0)
        assert owner.kinds == []

    @on_loop
    async def test_other_owners_hear_of_theirs_when_one_is_a_fault_of_ours(self) -> None:
        wire = Wire()
        endpoint = WiredEndpoint(wire, sip.HERE, User())
        owners = [Owner(lambda: 1 / 0), Owner(lambda: 1 / 0)]
        for owner in owners:
            endpoint.add_timer(1.0, owner, 1)
        wire.advance(2.0)
        assert [owner.kinds for owner in owners] == [[1], [1]]

    @on_loop
    async def test_request_is_sent_again_on_the_real_loop_when_nobody_answers(self) -> None:
        user = User(status=0)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind(("127.0.0.1", 0))
            peer.setblocking(False)
            settings = SIPSettings(listen=("udp://127.0.0.1:0",), t1=0.02)
            endpoint = Endpoint(settings, user)
            await endpoint.open()
            endpoint.start()
            try:
                flow = endpoint.flow_to("udp", "127.0.0.1", peer.getsockname()[1])
                assert flow is not None
                endpoint.transactions.send_request(sip.our_request(), flow, endpoint.now(), None)
                endpoint.end_of_turn()
                async with asyncio.timeout(PATIENCE):
                    copies = [await asyncio.get_running_loop().sock_recv(peer, 65_536) for _ in range(3)]
                assert copies[0] == copies[1] == copies[2]
            finally:
                endpoint.close()


class TestTokenSource:
    def test_tokens_are_sixteen_hex_digits_and_never_the_same(self) -> None:
        source = TokenSource()
        tokens = [source() for _ in range(20_000)]
        assert len(set(tokens)) == len(tokens)
        assert {len(token) for token in tokens} == {16}
        assert set("".join(tokens)) == set("0123456789abcdef")

    def test_sources_share_nothing(self) -> None:
        one, other = TokenSource(), TokenSource()
        assert not {one() for _ in range(1000)} & {other() for _ in range(1000)}

    def test_process_has_one_source(self) -> None:
        assert isinstance(new_token, TokenSource)
        assert new_token() != new_token()
