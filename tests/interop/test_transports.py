"""How messages travel, on the caller's side and on the carrier's."""

from collections.abc import Iterator

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.sip.flow import Trust
from b2bua.tasks import stop_all
from tests.support.calls import SOURCE, agents, are_up, within
from tests.support.interop import DOMAIN, SECOND_HOST, Listeners, Play, Trunks, outcome
from tests.support.servers import Run
from tests.support.switch import Switch

TRANSPORTS = "a_transport, b_transport, a_address, b_address"


def addresses(switch: Switch) -> dict[str, str]:
    """Transports and addresses of both legs of the one call."""
    switch.wait_for_records(1)
    (row,) = switch.query(f"SELECT {TRANSPORTS} FROM cdr")
    return dict(row)


class TestTCP:
    @pytest.mark.parametrize(("here", "there"), [("tcp", "udp"), ("udp", "tcp"), ("tcp", "tcp")])
    def test_call_goes_through(self, switch: Switch, trunks: Trunks, play: Play, here: str, there: str) -> None:
        names = {"udp": "u1", "tcp": "t1"}
        trunk = trunks.add(transport=there)
        carrier = play("carrier", port=trunk.port, transport=names[there])
        play("caller", number=trunk.number, transport=names[here]).wait()
        carrier.wait()
        found = addresses(switch)
        assert (found["a_transport"], found["b_transport"]) == (here, there)
        assert outcome(*switch.records()) == ("ANSWERED", 200, "caller")

    def test_carrier_may_hang_up(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add(transport="tcp")
        carrier = play("carrier_hangs_up", port=trunk.port, transport="t1")
        play("caller_hears_bye", number=trunk.number, transport="t1").wait()
        carrier.wait()
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "callee")

    def test_long_request_goes_by_tcp_to_a_gateway_that_takes_it(
        self, switch: Switch, trunks: Trunks, play: Play
    ) -> None:
        trunk = trunks.add(transport="udp", prefers_tcp=True)
        carrier = play("carrier", port=trunk.port, transport="t1")
        play("caller_long", number=trunk.number).wait()
        carrier.wait()
        (invite,) = carrier.received("INVITE")
        assert "SIP/2.0/TCP" in invite.first("via")
        assert invite.body.count("a=x-line:") == 16
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")


class TestIPv6:
    @pytest.fixture(autouse=True)
    def _device(self, switch: Switch) -> Iterator[None]:
        (account,) = switch.query("SELECT id FROM account WHERE code = 'DEMO0002'")
        switch.query("INSERT INTO ip_device (account_id, address) VALUES ($1, '::1/128')", account["id"])
        switch.wait_for_configuration()
        yield
        switch.query("DELETE FROM ip_device WHERE address = '::1/128'")

    @pytest.mark.parametrize(("transport", "name"), [("u1", "udp"), ("t1", "tcp")])
    def test_caller_calls(
        self, switch: Switch, listeners: Listeners, trunks: Trunks, play: Play, transport: str, name: str
    ) -> None:
        trunk = trunks.add()
        carrier = play("carrier", port=trunk.port)
        to = f"[::1]:{listeners.ipv6}"
        caller = play("caller", number=trunk.number, host="::1", to=to, transport=transport)
        caller.wait()
        carrier.wait()
        assert "c=IN IP6 ::1" in carrier.received("INVITE")[0].body
        found = addresses(switch)
        assert (found["a_transport"], found["a_address"]) == (name, f"[::1]:{caller.port}")

    @pytest.mark.parametrize(("transport", "name"), [("u1", "udp"), ("t1", "tcp")])
    def test_carrier_is_called(self, switch: Switch, trunks: Trunks, play: Play, transport: str, name: str) -> None:
        trunk = trunks.add(host="::1", transport=name)
        carrier = play("carrier", port=trunk.port, host="::1", transport=transport)
        play("caller", number=trunk.number).wait()
        carrier.wait()
        found = addresses(switch)
        assert (found["b_transport"], found["b_address"]) == (name, f"[::1]:{trunk.port}")


class TestAddresses:
    def test_answers_come_to_where_the_request_came_from(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add()
        carrier = play("carrier", port=trunk.port)
        caller = play("caller_behind_nat", number=trunk.number)
        caller.wait()
        carrier.wait()
        for answer in caller.received("INVITE", status=200):
            assert f"rport={caller.port}" in answer.first("via")
        assert addresses(switch)["a_address"] == f"127.0.0.1:{caller.port}"

    def test_caller_is_told_the_address_that_it_called(
        self, switch: Switch, listeners: Listeners, trunks: Trunks, play: Play
    ) -> None:
        trunk = trunks.add()
        carrier = play("carrier_hangs_up", port=trunk.port)
        place = f"{SECOND_HOST}:{listeners.second}"
        caller = play("caller_hears_bye", number=trunk.number, to=place)
        caller.wait()
        carrier.wait()
        (answer,) = caller.received("INVITE", status=200)
        assert f"@{place}" in answer.first("contact") or f"sip:{place}" in answer.first("contact")
        (bye,) = caller.received("BYE")
        assert f"SIP/2.0/UDP {place};" in bye.first("via")
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "callee")


class TestSecureAndWebSocket:
    """sipp of Debian has neither: both ends are user agents of our own."""

    def agents(self, transport: str, listeners: Listeners, port: int) -> tuple[Caller, Answerer]:
        caller, carrier = Caller(transport=transport), Answerer(port=port, transport=transport)
        caller.tls = listeners.authority.settings("caller.example", file="caller.pem")
        carrier.tls = listeners.authority.settings("127.0.0.1", file="carrier.pem")
        return caller, carrier

    def dial(self, caller: Caller, listeners: Listeners, number: str) -> None:
        transport = caller.endpoint.addresses[0].transport
        port = listeners.tls if transport == "tls" else listeners.websocket
        trust = Trust("name", DOMAIN) if transport == "tls" else Trust("none", "")
        caller.call(number, SOURCE, "127.0.0.1", port, transport, trust=trust)

    @pytest.mark.parametrize("transport", ["tls", "ws"])
    @pytest.mark.parametrize("hangs_up", ["caller", "callee"])
    def test_call_goes_through(
        self, switch: Switch, listeners: Listeners, trunks: Trunks, run: Run, transport: str, hangs_up: str
    ) -> None:
        trunk = trunks.add(transport=transport)
        caller, carrier = self.agents(transport, listeners, trunk.port)

        async def call() -> None:
            async with agents(caller, carrier):
                self.dial(caller, listeners, trunk.number)
                await are_up(caller, carrier)
                first, other = (caller, carrier) if hangs_up == "caller" else (carrier, caller)
                first.hang_up()
                await within(other.is_ended)
            await stop_all()

        run(call())
        found = addresses(switch)
        assert (found["a_transport"], found["b_transport"]) == (transport, transport)
        assert outcome(*switch.records()) == ("ANSWERED", 200, hangs_up)

    def test_carrier_is_not_called_when_its_certificate_names_another(
        self, switch: Switch, listeners: Listeners, trunks: Trunks, run: Run
    ) -> None:
        trunk = trunks.add(transport="tls")
        caller, carrier = self.agents("tls", listeners, trunk.port)
        carrier.tls = listeners.authority.settings("other.example", file="other.pem")

        async def call() -> None:
            async with agents(caller, carrier):
                self.dial(caller, listeners, trunk.number)
                await within(caller.is_ended)
            await stop_all()

        run(call())
        assert (caller.status, carrier.invites) == (503, [])
        assert outcome(*switch.wait_for_records(1))[:2] == ("TRANSPORT_FAILURE", 503)
