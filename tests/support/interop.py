"""What the interoperability tests call through: a switch that listens on everything, and trunks of its own carriers."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from threading import Thread
from typing import Any, Final, Protocol

import asyncpg
from asyncpg import Record

from b2bua.account.device import ha1_md5
from conf.loader import load
from conf.secret import CARRIERS, Vault, load_secret
from tests.support.certificates import Authority
from tests.support.configuration import Configuration
from tests.support.dns import DNSServer
from tests.support.hep import read
from tests.support.sipp import Scenario
from tests.support.switch import Switch, free_port, switch_directory, wait_until

DOMAIN: Final = "switch.example"
"""Whom the switch's certificate is for."""
SECOND_HOST: Final = "127.0.0.2"
PHONES: Final = "127.0.0.20"
"""Where telephones stand; no device and no gateway is there."""
REALM: Final = "softswitch"
SECRET: Final = "secret"
"""Of every SIP user, and of us at carriers."""

_numbers = count(442079461000)


class Exchange(Switch):
    """A switch whose database is asked over one connection, since there are many tests."""

    def __init__(self, directory: Path, **settings: str) -> None:
        super().__init__(directory, **settings)
        self._runner = asyncio.Runner()
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None

    def load_demo(self) -> None:
        """Load the demo data; its own gateways are not called."""
        self.command("demo")
        self.wait_for_configuration()

    def query(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""
        if self._connection is None:
            connecting = asyncpg.connect(host=str(self.run_directory), user="softswitch", database="softswitch")
            self._connection = self._runner.run(connecting)
        return self._runner.run(self._connection.fetch(sql, *arguments))

    def disconnect(self) -> None:
        """Ask no more."""
        if self._connection is not None:
            self._runner.run(self._connection.close())
        self._runner.close()


@dataclass(slots=True)
class Listeners:
    """Where the switch listens beside its usual port, and where it sends its copies."""

    second: int
    """UDP on SECOND_HOST."""
    ipv6: int
    """UDP and TCP on ::1."""
    tls: int
    websocket: int
    capture: socket.socket
    """HEP packets arrive here."""
    authority: Authority
    """Who issued the switch's certificate, and whom it trusts."""
    dns: DNSServer
    """Whom the switch asks for names."""

    def captured(self) -> list[dict[int, bytes]]:
        """Packets that have arrived since the last time."""
        found = []
        self.capture.setblocking(False)
        while True:
            try:
                found.append(read(self.capture.recv(65_536)))
            except BlockingIOError:
                return found


@contextmanager
def _dns() -> Iterator[DNSServer]:
    """A DNS server in a thread of its own."""
    loop, server = asyncio.new_event_loop(), DNSServer()
    thread = Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(server.open(), loop).result(5.0)
        yield server
        asyncio.run_coroutine_threadsafe(_close(server), loop).result(5.0)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _close(server: DNSServer) -> None:
    server.close()
    await asyncio.sleep(0)  # its sockets are closed in the next turn of the loop


@contextmanager
def exchange(directory: Path) -> Iterator[tuple[Switch, Listeners]]:
    """A switch with the demo data, all its transports, and traces of every call."""
    authority = Authority(directory)
    certificate = authority.issue(DOMAIN, "127.0.0.1", file="switch.pem", uris=(f"sip:{DOMAIN}",))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as capture, _dns() as dns:
        capture.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_194_304)
        capture.bind(("127.0.0.1", 0))
        stream = socket.SOCK_STREAM
        listeners = Listeners(
            free_port(), free_port(stream), free_port(stream), free_port(stream), capture, authority, dns
        )
        port = free_port()
        listen = (
            f"udp://127.0.0.1:{port}", f"tcp://127.0.0.1:{port}", f"udp://{SECOND_HOST}:{listeners.second}",
            f"udp://[::1]:{listeners.ipv6}", f"tcp://[::1]:{listeners.ipv6}",
            f"tls://127.0.0.1:{listeners.tls}", f"ws://127.0.0.1:{listeners.websocket}",
        )  # fmt: skip
        settings = {
            "SOFTSWITCH_SIP__LISTEN": ",".join(listen),
            "SOFTSWITCH_TLS__CERTIFICATE": str(certificate),
            "SOFTSWITCH_TLS__CA": str(authority.file),
            "SOFTSWITCH_DNS__NAMESERVERS": dns.address,
            "SOFTSWITCH_TRACE__SHARE": "1.0",
            "SOFTSWITCH_TRACE__BODIES": "true",
            "SOFTSWITCH_HEP__URL": f"udp://127.0.0.1:{capture.getsockname()[1]}",
        }
        with switch_directory() as place:
            switch = Exchange(place, **settings)
            switch.port = port
            try:
                switch.start()
                switch.load_demo()
                yield switch, listeners
            finally:
                switch.disconnect()
                if switch.process is not None and switch.process.poll() is None:
                    switch.stop()


@dataclass(frozen=True, slots=True)
class Trunk:
    """A gateway that has a number of its own."""

    gateway_id: int
    port: int
    number: str
    """Calls to it of the demo's customers go to this gateway alone."""


@dataclass(frozen=True, slots=True)
class Telephone:
    """A SIP user."""

    user_id: int
    name: str
    number: str
    """The DID that leads to it."""
    extension: str

    @property
    def proof(self) -> tuple[str, ...]:
        """sipp's options for its name and secret."""
        return ("-au", self.name, "-ap", SECRET)


class Trunks:
    """Gateways and telephones for tests, with a number each.

    Args:
        switch: With the demo data.
    """

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        self.configuration = Configuration(switch)
        self._gateways: list[int] = []

    def add(self, *, port: int | None = 0, carrier: dict[str, Any] | None = None, **gateway: Any) -> Trunk:
        """A gateway of a new carrier.

        Args:
            port: Of the gateway; 0: any that is free, None: none is configured.
            carrier: Columns of the carrier.
            gateway: Columns of the gateway.
        """
        configuration, number = self.configuration, str(next(_numbers))
        place = free_port() if port == 0 else port
        carrier_id, gateway_id = configuration.carrier(place, gateway=gateway, **(carrier or {}))  # type: ignore[arg-type]
        self._gateways.append(gateway_id)
        route = configuration.route([carrier_id])
        (reseller,) = self.switch.query("SELECT id FROM account WHERE code = 'DEMO0001'")
        self.switch.query("INSERT INTO reseller_route VALUES ($1, $2)", reseller["id"], route)
        for account in self.switch.query("SELECT id FROM account WHERE kind = 'customer' AND code LIKE 'DEMO%'"):
            configuration.insert("dialing_route", account_id=account["id"], pattern=number, route_id=route)
        self.switch.wait_for_configuration()
        return Trunk(gateway_id, place or 0, number)

    def prove(self, trunk: Trunk, **gateway: Any) -> None:
        """Let us prove ourselves at a gateway by digest, as `trunk`, and change it otherwise."""
        sealed = Vault(load_secret(load(environ=self.switch.environ)), CARRIERS).seal(SECRET)
        self.configuration.update("gateway", trunk.gateway_id, auth_user="trunk", auth_secret=sealed, **gateway)

    def telephone(self, extension: str, **user: Any) -> "Telephone":
        """A SIP user of the demo's subscriber, who has not registered, and a DID that leads to it."""
        number = str(next(_numbers))
        name = f"phone{number}"
        (account,) = self.switch.query("SELECT id FROM account WHERE code = 'DEMO0003'")
        user_id = self.configuration.insert(
            "sip_user", account_id=account["id"], username=name, extension=extension,
            ha1_md5=ha1_md5(name, REALM, SECRET), **user,
        )  # fmt: skip
        did_id = self.configuration.insert("did", number=number, account_id=account["id"])
        self.configuration.insert("did_destination", did_id=did_id, kind="sip_user", sip_user_id=user_id)
        self.switch.wait_for_configuration()
        return Telephone(user_id, name, number, extension)

    def remove(self) -> None:
        """Leave no number and no active gateway behind."""
        self.switch.query("UPDATE gateway SET status = 'inactive' WHERE id = ANY($1)", self._gateways)
        self.configuration.remove()


def outcome(record: Record) -> tuple[str, int, str]:
    """How a call ended: code, SIP status, who ended it."""
    return record["code"], record["sip_code"], record["ended_by"]


def numbers(record: Record) -> tuple[str, str]:
    """Who called whom, as the carrier was told."""
    return record["source_sent"], record["destination_sent"]


def wait_until_idle(switch: Switch) -> None:
    """Wait until no call, no session and no funds are taken."""
    wait_until(lambda: switch.ask("ping")["calls"] == 0, "the calls to end")
    wait_until(lambda: not switch.session_counters(), "their sessions to be given back")
    wait_until(lambda: not funds_held(switch), "their funds to be given back")


def funds_held(switch: Switch) -> list[str]:
    """Accounts some of whose funds are held for calls."""
    return [
        key.decode()
        for key in switch.live("KEYS", "funds:*")
        if any(name.startswith(b"h:") and int(value) for name, value in _pairs(switch.live("HGETALL", key.decode())))
    ]


def _pairs(fields: list[bytes]) -> list[tuple[bytes, bytes]]:
    return list(zip(fields[::2], fields[1::2], strict=True))


# Fixtures


class Play(Protocol):
    """Begins a scenario; whatever is not over at the end of the test is ended."""

    def __call__(self, name: str, **how: Any) -> Scenario: ...


class Register(Protocol):
    """Registers a telephone at the switch."""

    def __call__(self, telephone: Telephone, *ports: int, expires: int = 60) -> Scenario: ...
