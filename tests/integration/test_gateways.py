"""Gateways that have a name, over real sockets: found by SRV, the next server when one fails, and trusted by name."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.sip.message import Request, parse_message
from tests.support.calls import agents, are_up, carrier_on, dial, hang_up, received, until, within
from tests.support.certificates import Authority
from tests.support.dns import DNSServer
from tests.support.servers import Run
from tests.support.switch import Switch

NAME = "carrier.test"
ZONE = """$ORIGIN carrier.test.
$TTL 300
@           SOA ns hostmaster 1 3600 600 86400 60
_sip._udp   SRV 1 0 {0} one
_sip._udp   SRV 2 0 {1} two
_sips._tcp  SRV 1 0 {0} one
one         A   127.0.0.1
two         A   127.0.0.1
@           A   127.0.0.1
"""


def change(switch: Switch, *options: str) -> None:
    """Set the first gateway."""
    switch.command("gateway", "set", "demo-a", *options)
    switch.wait_for_configuration()


@pytest.fixture
def named(switch: Switch) -> Iterator[Switch]:
    """The switch, whose first gateway gets its address back at the end."""
    try:
        yield switch
    finally:
        port = str(switch.carrier_ports[0])
        change(switch, "--host", "127.0.0.1", "--port", port, "--transport", "udp", "--invite-timeout", "5")


@asynccontextmanager
async def named_gateway(switch: Switch, *options: str) -> AsyncIterator[DNSServer]:
    """The first gateway has a name, which leads to the ports of both."""
    server = DNSServer()
    await server.open(switch.dns_port)
    try:
        server.load(ZONE.format(*switch.carrier_ports))
        options = options if "--port" in options else ("--port", "none", *options)
        await asyncio.to_thread(change, switch, "--host", NAME, *options)
        await until(lambda: switch.ask("gateways")["servers"].get("demo-a"))
        yield server
    finally:
        server.close()


def methods(agent: Answerer) -> list[str]:
    """Requests that an agent received, in order."""
    return [message.method for message in received(agent) if isinstance(message, Request)]


@contextmanager
def silent_server(port: int) -> Iterator[Callable[[], set[str]]]:
    """Somebody who never answers; tells the Call-IDs of what came."""

    def heard() -> set[str]:
        found = set()
        with suppress(BlockingIOError):
            while True:
                found.add(parse_message(server.recv(65_535)).call_id)
        return found

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", port))
        server.setblocking(False)
        yield heard


def reinvite(caller: Caller) -> None:
    """The caller offers its session again."""
    assert caller.leg is not None
    assert caller.leg.dialog is not None
    again = caller.leg.dialog.request("INVITE", caller.session)
    again.headers["contact"] = [caller.leg.dialog.contact]
    again.headers["content-type"] = ["application/sdp"]
    endpoint = caller.endpoint
    endpoint.transactions.send_request(again, caller.leg.dialog.flow, endpoint.now(), None)
    endpoint.end_of_turn()


def test_next_server_of_a_name_has_the_call_when_one_is_silent(named: Switch, run: Run) -> None:
    callers, second = (Caller(), Caller()), carrier_on(named, 1)

    async def call() -> None:
        async with named_gateway(named, "--invite-timeout", "1") as server, agents(*callers, second):
            asked = server.questions.total()
            for caller in callers:
                dial(caller, named)
                await hang_up(caller, second)
                second.is_answered.clear()
                second.is_ended.clear()
            assert server.questions.total() == asked  # no call has waited for DNS

    with silent_server(named.carrier_ports[0]) as heard:
        run(call())
        assert len(heard()) == 1  # the second call knew of it
    (gateway,) = named.query("SELECT id FROM gateway WHERE name = 'demo-a'")
    records = named.wait_for_records(2)
    assert [(each["attempt"], each["is_last"], each["code"]) for each in records] == [(1, True, "ANSWERED")] * 2
    assert {each["gateway_id"] for each in records} == {gateway["id"]}
    places = {each["b_address"] for each in named.query("SELECT b_address FROM cdr")}
    assert places == {f"127.0.0.1:{named.carrier_ports[1]}"}
    assert [invite.uri.partition("@")[2] for invite in second.invites] == [NAME, NAME]


@pytest.mark.parametrize("transport", ["tls", "wss"])
def test_dialog_goes_on_over_tls_when_the_certificate_names_the_gateway(
    named: Switch, run: Run, authority: Authority, transport: str
) -> None:
    caller, carrier = Caller(), Answerer("127.0.0.1", named.carrier_ports[0], transport)
    # Nobody publishes SRV records for WebSocket: a port has to be said.
    port = "none" if transport == "tls" else str(named.carrier_ports[0])
    carrier.tls = authority.settings(NAME, file="right.pem")

    async def call() -> None:
        async with named_gateway(named, "--transport", transport, "--port", port), agents(caller, carrier):
            dial(caller, named)
            await are_up(caller, carrier)
            reinvite(caller)
            await until(lambda: methods(carrier).count("ACK") == 2)
            caller.hang_up()
            await within(carrier.is_ended)

    run(call())
    assert methods(carrier) == ["INVITE", "ACK", "INVITE", "ACK", "BYE"]
    shown = f"{NAME};transport=tls" if transport == "tls" else f"{NAME}:{port};transport=ws"
    assert carrier.invites[0].uri.partition("@")[2] == shown
    (record,) = named.wait_for_records(1)
    assert record["code"] == "ANSWERED"
    assert named.query("SELECT b_transport FROM cdr")[0]["b_transport"] == transport


def test_call_goes_elsewhere_and_the_log_says_why_when_the_certificate_is_for_another(
    named: Switch, run: Run, authority: Authority
) -> None:
    caller, carrier, other = Caller(), Answerer("127.0.0.1", named.carrier_ports[0], "tls"), carrier_on(named, 1)
    carrier.tls = authority.settings("other.test", file="wrong.pem")
    logged = len(named.log())

    async def call() -> None:
        async with named_gateway(named, "--transport", "tls"), agents(caller, carrier, other):
            dial(caller, named)
            await hang_up(caller, other)

    run(call())
    assert methods(carrier) == []
    refused, answered = named.wait_for_records(2)
    assert (refused["attempt"], refused["code"], refused["object"]) == (1, "TRANSPORT_FAILURE", "gateway demo-a")
    assert (answered["attempt"], answered["code"]) == (2, "ANSWERED")
    (line,) = [line for line in named.log()[logged:].splitlines() if "certificate refused" in line]
    assert f"tls:127.0.0.1:{named.carrier_ports[0]}" in line
    assert NAME in line
    assert "other.test" in line
