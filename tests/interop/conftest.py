"""One running switch for the whole folder, which listens on everything; sipp and others call through it.

Each test finds it without calls and records, and has to leave nothing behind: no call, no session, no funds held.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from tests.support.interop import (
    PHONES,
    Listeners,
    Play,
    Register,
    Telephone,
    Trunks,
    exchange,
    wait_until_idle,
)
from tests.support.sipp import Scenario
from tests.support.switch import Switch


@pytest.fixture(scope="package")
def _exchange(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Switch, Listeners]]:
    with exchange(tmp_path_factory.mktemp("interop")) as both:
        yield both


@pytest.fixture
def switch(_exchange: tuple[Switch, Listeners]) -> Iterator[Switch]:
    """The switch with the demo data, idle; it has to be idle again after the test."""
    switch, _ = _exchange
    for call in switch.ask("calls")["calls"]:  # of a test that failed
        switch.ask("hangup", call_id=call["call_id"])
    wait_until_idle(switch)
    switch.forget_records()
    yield switch
    wait_until_idle(switch)


@pytest.fixture
def listeners(_exchange: tuple[Switch, Listeners]) -> Listeners:
    """Where else it listens."""
    return _exchange[1]


@pytest.fixture
def trunks(switch: Switch) -> Iterator[Trunks]:
    """Gateways of this test's own."""
    trunks = Trunks(switch)
    yield trunks
    trunks.remove()


@pytest.fixture
def play(switch: Switch) -> Iterator[Play]:
    """Play scenarios; those that call do so at the switch's usual port unless told otherwise."""
    with ExitStack() as played:

        def begin(name: str, **how: Any) -> Scenario:
            if name.startswith("caller"):
                how.setdefault("to", f"127.0.0.1:{switch.port}")
            return played.enter_context(Scenario(name, switch.directory, **how))

        yield begin


@pytest.fixture
def register(switch: Switch, play: Play) -> Register:
    """Register a telephone from the first of its ports, with a contact at each; without a port: take all back."""

    def begin(telephone: Telephone, *ports: int, expires: int = 60) -> Scenario:
        contacts = ", ".join(f"<sip:{telephone.name}@{PHONES}:{port}>" for port in ports)
        keys = {"user": telephone.name, "contacts": contacts or "*", "expires": str(expires if ports else 0)}
        to = f"127.0.0.1:{switch.port}"
        port = ports[0] if ports else 0
        played = play("phone_registers", host=PHONES, port=port, to=to, keys=keys, options=telephone.proof)
        played.wait()
        return played

    return begin
