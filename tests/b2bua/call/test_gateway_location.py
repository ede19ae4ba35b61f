"""Gateways that have a name: which server is called, and which next (RFC 3263 §4), and whose calls are recognised."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from b2bua.call.gateway_location import GatewayLocator, Servers, is_address, make_resolver, trust_of, with_trust
from b2bua.policy.routes import Gateway
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.message import Response
from b2bua.transport.endpoint import Endpoint
from b2bua.transport.resolver import Resolver
from conf.settings import DNSSettings, SIPSettings
from tests.b2bua.call.rig import CARRIERS, DID_NUMBER, NUMBER, SWITCH, Rig
from tests.b2bua.transport.test_endpoint import User
from tests.support.dns import Located, located
from tests.support.legs import on_loop
from tests.support.policy import make_gateway

MakeRig = Callable[..., Rig]

NAME = "carrier.example"
ONE, TWO = CARRIERS[0], CARRIERS[2]
"""Servers of the name; CARRIERS[1] is the next gateway."""
ZONE = f"""$ORIGIN {NAME}.
$TTL 300
@          SOA ns hostmaster 1 3600 600 86400 60
@          A   {TWO}
_sip._udp  SRV 1 0 5060 one
_sip._udp  SRV 2 0 5060 two
_sips._tcp SRV 1 0 5071 one
one        A   {ONE}
two        A   {TWO}
"""
MOVED = ZONE.replace(f"two        A   {TWO}", f"two        A   {CARRIERS[3]}")


@asynccontextmanager
async def named(make_rig: MakeRig, zone: str = ZONE, **changed: Any) -> AsyncIterator[tuple[Rig, Located]]:
    """A rig whose first gateway has a name, and the DNS that knows it."""
    async with located(zone, supported=("udp",)) as names:
        rig = make_rig(resolver=names.resolver)
        for field, value in {"host": NAME, "port": None, **changed}.items():
            setattr(rig.gateway(), field, value)
        rig.driver.health._clock = rig.wire.clock
        rig.load()
        await rig.driver.locator.ready()
        yield rig, names


def servers_called(rig: Rig) -> list[str]:
    """Where INVITEs went, repetitions left out."""
    found: dict[str, str] = {}
    for each in rig.wire.carried:
        if each.label == "INVITE" and each.source == SWITCH:
            found.setdefault(each.message.call_id, each.target)
    return list(found.values())


class TestCall:
    @on_loop
    async def test_server_is_that_of_the_record_and_the_uri_has_the_name(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, names):
            carrier = rig.carrier()
            asked = names.asked
            rig.dial()
            (invite,) = carrier.invites
            assert invite.uri == f"sip:{NUMBER}@{NAME}"
            assert invite.headers["to"] == [f"<sip:{NUMBER}@{NAME}>"]
            rig.hang_up(rig.caller)
            assert rig.records()[0]["b_address"] == f"{ONE}:5060"
            assert names.asked == asked  # no call waits for DNS
            rig.assert_nothing_is_left()

    @on_loop
    async def test_port_leaves_srv_nothing_to_say(self, make_rig: MakeRig) -> None:
        async with named(make_rig, port=5060) as (rig, _):
            rig.carrier(3)
            rig.dial()
            assert servers_called(rig) == [TWO]
            assert rig.wire.requests("INVITE", SWITCH)[0].uri == f"sip:{NUMBER}@{NAME}:5060"

    @on_loop
    @pytest.mark.parametrize("fault", ["503", "silence", "unreachable"])
    async def test_next_server_is_called_in_the_same_attempt_when_one_fails(
        self, make_rig: MakeRig, fault: str
    ) -> None:
        async with named(make_rig) as (rig, _):
            if fault == "503":
                rig.carrier(refuse=503, rings=False)
            elif fault == "unreachable":
                rig.wire.unreachable.add(ONE)
            rig.carrier(3)
            rig.dial()
            rig.wire.advance(5.1 if fault == "silence" else 0.1)
            assert rig.caller.status == 200
            rig.hang_up(rig.caller)
            (record,) = rig.records()
            assert (record["attempt"], record["gateway_id"], record["code"]) == (1, 1, "ANSWERED")
            assert (record["b_address"], record["sip_code"]) == (f"{TWO}:5060", 200)
            assert rig.driver.health._states == {}
            before = len(servers_called(rig))
            rig.dial()
            assert servers_called(rig)[before:] == [TWO]  # what has failed is not tried first
            rig.hang_up(rig.caller)
            rig.assert_nothing_is_left()

    @on_loop
    @pytest.mark.parametrize(("asked", "spared"), [("120", 119.0), ("60 (busy);duration=9", 59.0), ("soon", 29.0)])
    async def test_server_that_refuses_is_spared_as_long_as_it_asks_for(
        self, make_rig: MakeRig, asked: str, spared: float
    ) -> None:
        async with named(make_rig) as (rig, _):
            carrier = rig.carrier(rings=False, answers=False)
            rig.carrier(3)
            rig.dial()
            refusal = Response.to(carrier.invites[0], 503, "them")
            refusal.headers["retry-after"] = [asked]
            rig.switch.receive(refusal.to_bytes(), Flow("udp", ONE, 5060))
            rig.switch.end_of_turn()
            rig.wire.settle()
            assert servers_called(rig) == [ONE, TWO]
            rig.hang_up(rig.caller)
            for seconds, server in ((spared, TWO), (2.0, ONE)):
                rig.wire.advance(seconds)
                rig.dial()
                assert servers_called(rig)[-1] == server
                rig.caller.hang_up()
                rig.wire.settle()

    @on_loop
    async def test_server_has_its_own_time_to_answer_when_the_one_before_was_slow(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, _):
            rig.dial()
            rig.wire.advance(5.1)
            rig.carrier(3, rings=False, answers=False)
            rig.wire.advance(4.5)  # 9.6 s in all; a repetition has reached it by now
            rig.wire.advance(5.0)
            assert servers_called(rig) == [ONE, TWO]

    @on_loop
    async def test_next_gateway_is_called_when_all_servers_have_failed(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, _):
            rig.carrier(2)
            rig.dial()
            rig.wire.advance(5.1)
            rig.wire.advance(5.1)
            assert servers_called(rig) == [ONE, TWO, CARRIERS[1]]
            rig.hang_up(rig.caller)
            records = rig.records()
            assert [(each["attempt"], each["code"]) for each in records] == [(1, "NO_RESPONSE"), (2, "ANSWERED")]
            assert records[0]["sip_code"] == 504

    @on_loop
    async def test_gateway_is_down_when_all_of_its_servers_are_silent(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, _):
            rig.carrier(2)
            for _ in range(3):
                assert not rig.driver.is_down(rig.gateway())
                rig.dial()
                rig.wire.advance(10.3)
                rig.hang_up(rig.caller)
            assert rig.driver.is_down(rig.gateway())

    @on_loop
    @pytest.mark.parametrize(("status", "ended"), [(486, True), (500, False), (404, False)])
    async def test_no_other_server_is_called_when_one_answers_otherwise(
        self, make_rig: MakeRig, status: int, *, ended: bool
    ) -> None:
        async with named(make_rig) as (rig, _):
            rig.carrier(refuse=status)
            rig.carrier(2)
            rig.dial()
            assert servers_called(rig) == ([ONE] if ended else [ONE, CARRIERS[1]])

    @on_loop
    async def test_attempt_fails_at_once_and_the_log_says_why_when_nothing_is_known(self, make_rig: MakeRig) -> None:
        with capture_logs() as logs:
            async with named(make_rig, ZONE.replace(NAME, "other.example")) as (rig, _):
                carrier = rig.carrier(2)
                rig.dial()
                assert len(carrier.invites) == 1
                rig.hang_up(rig.caller)
                rig.dial()
                first = rig.records()[0]
                assert (first["code"], first["object"]) == ("TRANSPORT_FAILURE", "gateway gateway-1")
        (told,) = [each for each in logs if each["event"] == "gateway cannot be found"]
        assert (told["gateway"], told["host"]) == ("gateway-1", NAME)
        assert f"_sip._udp.{NAME} SRV" in told["reason"]
        assert "REFUSED" in told["reason"]

    @on_loop
    async def test_log_says_so_when_we_have_no_listener_for_it(self, make_rig: MakeRig) -> None:
        with capture_logs() as logs:
            async with named(make_rig, transport="tls") as (rig, _):
                rig.carrier(2)
                rig.dial()
                assert servers_called(rig) == [CARRIERS[1]]
        assert "no transport of ours serves sip over tls" in str([each.get("reason") for each in logs])

    @on_loop
    async def test_caller_who_gives_up_takes_back_the_call_to_the_second_server(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, _):
            rig.carrier(refuse=503, rings=False)
            rig.carrier(3, answers=False)
            rig.dial()
            rig.caller.cancel()
            rig.wire.settle()
            (cancel,) = rig.wire.requests("CANCEL", SWITCH)
            assert cancel.uri == f"sip:{NUMBER}@{NAME}"
            assert [each.target for each in rig.wire.carried if each.label == "CANCEL"][-1] == TWO
            rig.assert_nothing_is_left()


class TestIncoming:
    """docs/behaviour.md §1.2."""

    @on_loop
    async def test_call_is_recognised_when_it_comes_from_where_the_name_leads(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, _):
            device = rig.add_device()
            rig.add_did()
            caller = rig.dial_in(DID_NUMBER, 3)
            assert len(device.invites) == 1
            rig.hang_up(caller)
            (record,) = rig.records()
            assert (record["kind"], record["carrier_id"], record["gateway_id"]) == ("incoming", 1, 1)

    @on_loop
    async def test_address_is_a_strangers_when_the_name_has_moved(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, names):
            moved: list[bool] = []
            rig.driver.locator.on_moved = lambda: moved.append(True)
            assert set(rig.snapshot.gateways_at) >= {ONE, TWO, CARRIERS[1]}
            names.server.load(MOVED)
            names.clock.now += 299.0
            await rig.driver.locator.ready()
            assert set(rig.snapshot.gateways_at) >= {ONE, CARRIERS[3]}
            assert TWO not in rig.snapshot.gateways_at
            assert moved

    @on_loop
    async def test_addresses_are_kept_when_dns_falls_silent(self, make_rig: MakeRig) -> None:
        async with named(make_rig) as (rig, names):
            names.silence()
            names.clock.now += 400.0
            await names.resolver.refresh_due()
            rig.driver.locator._recognise()
            assert TWO in rig.snapshot.gateways_at
            rig.carrier()
            rig.dial()
            assert servers_called(rig) == [ONE]

    @on_loop
    async def test_nobody_is_recognised_by_a_gateway_that_is_switched_off(self, make_rig: MakeRig) -> None:
        async with named(make_rig, status="inactive") as (rig, names):
            assert set(rig.snapshot.gateways_at) == {ONE, CARRIERS[1]}  # as the rig was made
            assert names.asked == 0


class TestProbe:
    @on_loop
    async def test_next_server_is_asked_when_one_is_silent(self, make_rig: MakeRig) -> None:
        async with named(make_rig, probe_interval=60) as (rig, _):
            rig.carrier(3)
            rig.wire.advance(0.1)
            rig.wire.advance(5.1)
            (first, *_, last) = rig.wire.requests("OPTIONS", SWITCH)
            assert first.uri == last.uri == f"sip:{NAME}"
            assert "200 OPTIONS" in rig.wire.labels(SWITCH, TWO)
            assert rig.driver.health._states == {}

    @on_loop
    async def test_gateway_is_silent_once_when_all_of_its_servers_are(self, make_rig: MakeRig) -> None:
        async with named(make_rig, probe_interval=60) as (rig, _):
            rig.wire.advance(30)
            assert rig.driver.health._states[1].failures == 1


class TestLocate:
    @on_loop
    async def test_dns_is_asked_when_nothing_is_known_yet(self, make_rig: MakeRig) -> None:
        async with located(ZONE, supported=("udp",)) as names:
            rig = make_rig(resolver=names.resolver)
            found: list[tuple[Flow | None, Servers | None]] = []
            gateway = make_gateway(7, host=NAME, port=None)

            def note(flow: Flow | None, servers: Servers | None = None) -> None:
                found.append((flow, servers))

            rig.driver.locator.locate(gateway, note)
            assert found == []
            await names.server.wait_for("two.carrier.example", "A")
            await names.resolver.resolve(NAME, None, "udp")
            assert str(found[0][0]) == f"udp:{ONE}:5060"
            rig.driver.locator.locate(gateway, note)  # known now
            assert len(found) == 2

    @on_loop
    async def test_way_is_that_of_the_address_when_there_is_no_name(self, make_rig: MakeRig) -> None:
        rig = make_rig()
        flow, servers = rig.driver.locator.first(make_gateway(7, port=None))
        assert (str(flow), servers) == ("udp:192.0.2.7:5060", None)


class TestTrust:
    """RFC 5922 §4: what counts is whom we asked for, not what DNS said."""

    @pytest.mark.parametrize(
        ("gateway", "trust"),
        [
            (make_gateway(1, transport="tls", host="Carrier.Example."), Trust("name", NAME)),
            (make_gateway(1, transport="wss", host=ONE, tls_verify="chain"), Trust("chain", ONE)),
            (make_gateway(1, transport="ws", host=NAME, tls_verify="none"), Trust("none", NAME)),
            (make_gateway(1, transport="tcp"), None),
            (make_gateway(1), None),
            (make_gateway(0, transport="tls"), None),  # a device: section [tls] counts
        ],
    )
    def test_certificate_has_to_show_the_gateways_host(self, gateway: Gateway, trust: Trust | None) -> None:
        assert trust_of(gateway) == trust

    @pytest.mark.parametrize(
        ("transport", "trust"),
        [("udp", None), ("tcp", None), ("tls", Trust("name", NAME)), ("wss", Trust("name", NAME))],
    )
    def test_way_of_a_gateways_own_call_demands_the_same(self, transport: str, trust: Trust | None) -> None:
        flow = with_trust(Flow(transport, ONE, 40000, 2, 9), make_gateway(1, host=NAME))
        assert (str(flow), flow.listener, flow.connection) == (f"{transport}:{ONE}:40000", 2, 9)
        assert flow.trust == trust

    @on_loop
    async def test_way_to_each_server_demands_the_name(self) -> None:
        listen = ("udp://192.0.2.1:5060", "tls://192.0.2.1:5061", "wss://192.0.2.1:443", "tcp://192.0.2.1:5060")
        endpoint = Endpoint(SIPSettings(listen=listen), User())
        async with located(ZONE, supported=("udp", "tls", "wss")) as names:
            locator = GatewayLocator(endpoint, names.resolver)
            for transport, address in (("tls", f"{ONE}:5071"), ("wss", f"{TWO}:443")):
                await names.resolver.resolve(NAME, None, transport)
                flow, servers = locator.first(make_gateway(1, transport=transport, host=NAME, port=None))
                assert flow is not None
                assert servers is not None
                assert (str(flow), flow.trust) == (f"{transport}:{address}", Trust("name", NAME))
            flow, _ = locator.first(make_gateway(1, prefers_tcp=True))
            assert flow is not None
            assert str(flow.large) == "tcp:192.0.2.1:5060"


class TestResolver:
    @on_loop
    async def test_only_what_we_listen_on_is_looked_for(self) -> None:
        endpoint = Endpoint(SIPSettings(listen=("tcp://192.0.2.1:5060", "udp://[2001:db8::1]:5060")), User())
        resolver: Resolver = make_resolver(endpoint, DNSSettings(nameservers=("192.0.2.53",), timeout=2.0))
        assert (resolver._supported, resolver._families, resolver._timeout) == (("tcp", "udp"), ("A", "AAAA"), 2.0)


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("192.0.2.1", True), ("2001:db8::1", True), ("[2001:db8::1]", True), (NAME, False), ("1.example", False)],
)
def test_address_is_told_from_a_name(host: str, *, is_one: bool) -> None:
    assert is_address(host) == is_one
