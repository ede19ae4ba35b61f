"""What carriers ask of us: proof, registration, a sign of life, the caller as they want it; and what they tell us."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.interop import PHONES, SECRET, Play, Register, Trunks, numbers, outcome
from tests.support.sipp import Message
from tests.support.switch import Switch, free_port, wait_until


def is_proved(request: Message) -> bool:
    """Whether a request shows that we know the secret (RFC 2617 §3.2.2)."""
    header = request.first("authorization") or request.first("proxy-authorization")
    told = {name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([^\s,]+))', header)}
    first, second = (
        hashlib.md5(text.encode()).hexdigest()
        for text in (f"trunk:{told['realm']}:{SECRET}", f"{request.first_line.split()[0]}:{told['uri']}")
    )
    proof = f"{first}:{told['nonce']}:{told['nc']}:{told['cnonce']}:{told['qop']}:{second}"
    return (told["username"], told["response"]) == ("trunk", hashlib.md5(proof.encode()).hexdigest())


class TestDigest:
    @pytest.mark.parametrize("carrier", ["carrier_challenges", "carrier_challenges_as_server"])
    def test_invite_and_bye_are_proved(self, switch: Switch, trunks: Trunks, play: Play, carrier: str) -> None:
        trunk = trunks.add()
        trunks.prove(trunk)
        called = play(carrier, port=trunk.port)
        play("caller", number=trunk.number).wait()
        called.wait()
        for method in ("INVITE", "BYE"):
            assert is_proved(called.received(method)[-1])
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")  # both INVITEs are one attempt


class TestRegistration:
    def test_we_register_and_take_it_back(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add()
        registrar = play("carrier_registrar", port=trunk.port)
        trunks.prove(trunk, registers=True)
        wait_until(lambda: "registered" in switch.command("gateway", "registrations"), "us to be registered")
        trunks.configuration.update("gateway", trunk.gateway_id, status="inactive")
        registrar.wait()
        first, proved, last = registrar.received("REGISTER")
        assert first.first("contact") == proved.first("contact") == last.first("contact").partition(";")[0]
        assert first.first("expires") == "600"
        assert first.first("from").startswith("<sip:trunk@127.0.0.1")


class TestProbing:
    def test_gateway_is_asked_again_and_again(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add(probe_interval=1)
        carrier = play("carrier_is_probed", port=trunk.port, calls=2)
        carrier.wait()
        assert len(carrier.received("OPTIONS")) >= 2
        assert switch.ask("gateways")["down"] == {}


@contextmanager
def changed(switch: Switch, table: str, **values: object) -> Iterator[None]:
    """Change columns of everybody at 127.0.0.1, and back."""
    where = "address = '127.0.0.1/32'" if table == "ip_device" else "host = '127.0.0.1'"
    for sign in (values, {name: not value for name, value in values.items()}):
        if sign is not values:
            yield
        for name, value in sign.items():
            switch.query(f"UPDATE {table} SET {name} = $1 WHERE {where}", value)
        switch.wait_for_configuration()


class TestIdentity:
    @pytest.mark.parametrize(
        ("carrier", "gateway"),
        [
            (
                "carrier_asserted",
                {"identity": "pai", "diversion": "pass", "passed_headers": ["X-Customer"]}
                | {"added_headers": ["X-Trunk: a b"]},
            ),
            ("carrier_told_nothing", {}),
        ],
    )
    def test_hidden_caller_is_told_as_the_gateway_asks(
        self, switch: Switch, trunks: Trunks, play: Play, carrier: str, gateway: dict[str, Any]
    ) -> None:
        trunk = trunks.add(**gateway)
        called = play(carrier, port=trunk.port)
        with changed(switch, "ip_device", is_trusted=True):
            play("caller_identified", number=trunk.number).wait()
        called.wait()
        (record,) = switch.wait_for_records(1)
        assert numbers(record) == ("4930111", trunk.number)

    def test_caller_who_is_not_trusted_is_told_by_from(self, switch: Switch, trunks: Trunks, play: Play) -> None:
        trunk = trunks.add(identity="rpid", from_user="trunk", from_domain="carrier.example")
        called = play("carrier_remote_party", port=trunk.port)
        play("caller_asserts", number=trunk.number).wait()
        called.wait()
        assert numbers(*switch.wait_for_records(1)) == ("33123456789", trunk.number)

    def test_telephone_is_shown_whom_a_trusted_carrier_names(
        self, switch: Switch, trunks: Trunks, play: Play, register: Register
    ) -> None:
        telephone, port = trunks.telephone("2001"), free_port()
        register(telephone, port)
        called = play("carrier", host=PHONES, port=port)
        with changed(switch, "gateway", is_trusted=True):
            play("caller_asserts", number=telephone.number).wait()
        called.wait()
        assert called.received("INVITE")[0].caller == "4930111"
        assert outcome(*switch.wait_for_records(1)) == ("ANSWERED", 200, "caller")
