"""How messages travel, on the caller's side and on the carrier's."""

from collections.abc import Iterator

import pytest

from tests.interop.conftest import Play
from tests.support.interop import SECOND_HOST, Listeners, Trunks, outcome
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
        assert addresses(switch)["b_transport"] == "tcp"


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
    def test_carrier_is_called(
        self, switch: Switch, trunks: Trunks, play: Play, transport: str, name: str
    ) -> None:
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
