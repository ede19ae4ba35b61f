"""A DNS server of a test's own, over UDP and TCP on loopback: zones are text, and every question is counted.

`located` gives a resolver that asks it and whose clock the test turns.
"""

import asyncio
import functools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, Final

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone
import uvloop

from b2bua.tasks import stop_all
from b2bua.transport.location import Target
from b2bua.transport.resolver import Resolver

PATIENCE: Final = 8.0
QUICK: Final = 0.2
"""Seconds after which a resolver gives up on a server that is silent."""


class DNSServer:
    """Answers for its zones, and misbehaves when it is told to."""

    def __init__(self) -> None:
        self._zones: dict[dns.name.Name, dns.zone.Zone] = {}
        self._udp: asyncio.DatagramTransport
        self._tcp: asyncio.Server
        self._news = asyncio.Event()
        self.port = 0
        self.questions: Counter[tuple[str, str]] = Counter()
        """By name and kind."""
        self.by_tcp = 0
        self.udp_limit = 1232
        """Bytes of the longest answer over UDP; a longer one is truncated."""
        self.is_silent = False
        self.rcodes: dict[str, dns.rcode.Rcode] = {}
        """Name, or kind of all names -> fault that is answered."""
        self.gate = asyncio.Event()
        """Answers go out while it is set."""
        self.gate.set()

    @property
    def address(self) -> str:
        """As a setting names it."""
        return f"127.0.0.1:{self.port}"

    def load(self, text: str) -> None:
        """Take a zone in, which begins with $ORIGIN, in the place of the one of the same origin."""
        zone = dns.zone.from_text(text, relativize=False, check_origin=False)
        assert zone.origin is not None
        self._zones[zone.origin] = zone

    def asked(self, kind: str) -> int:
        """Questions of one kind."""
        return sum(count for (_, asked), count in self.questions.items() if asked == kind)

    async def wait_for(self, name: str, kind: str, count: int = 1) -> None:
        """Wait until something has been asked so often."""
        async with asyncio.timeout(5.0):
            while self.questions[name, kind] < count:
                self._news.clear()
                await self._news.wait()

    async def open(self, port: int = 0) -> None:
        """Listen for both on one port; 0: of the system's choice."""
        loop = asyncio.get_running_loop()
        while True:
            self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), ("127.0.0.1", port))
            self.port = self._udp.get_extra_info("sockname")[1]
            try:
                self._tcp = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            except OSError:
                self._udp.close()  # somebody has it for TCP
                if port:
                    raise
            else:
                return

    def close(self) -> None:
        """Be gone."""
        self._udp.close()
        self._tcp.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            query = dns.message.from_wire(await reader.readexactly(size))
            self.by_tcp += 1
            self.note(query)
            await self.gate.wait()
            answer = self.answer(query).to_wire(max_size=65_535)
            writer.write(len(answer).to_bytes(2, "big") + answer)
            await writer.drain()
        finally:
            writer.close()

    def note(self, query: dns.message.Message) -> None:
        """Count a question."""
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.questions[name, dns.rdatatype.to_text(question.rdtype)] += 1
        self._news.set()

    def answer(self, query: dns.message.Message) -> dns.message.Message:
        """What the zones say."""
        response = dns.message.make_response(query, recursion_available=True)
        question = query.question[0]
        name, kind = question.name, dns.rdatatype.to_text(question.rdtype)
        rcode = self.rcodes.get(name.to_text(omit_final_dot=True), self.rcodes.get(kind))
        if rcode is not None:
            response.set_rcode(rcode)
            return response
        while True:
            alias = self._look_up(response, name, question.rdtype)
            if alias is None:
                return response
            name = alias

    def _look_up(
        self, response: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
    ) -> dns.name.Name | None:
        """Add what is known of a name; returns the name that it is an alias of."""
        zone = max(
            (zone for origin, zone in self._zones.items() if name.is_subdomain(origin)),
            key=lambda zone: len(zone.origin or ()),
            default=None,
        )
        if zone is None:
            response.set_rcode(dns.rcode.REFUSED)
            return None
        if (found := zone.get_rrset(name, kind)) is not None:
            response.answer.append(found)
            return None
        if (alias := zone.get_rrset(name, dns.rdatatype.CNAME)) is not None:
            response.answer.append(alias)
            target: dns.name.Name = alias[0].target
            return target
        if not any(known.is_subdomain(name) for known in zone):
            response.set_rcode(dns.rcode.NXDOMAIN)
        assert zone.origin is not None
        if (soa := zone.get_rrset(zone.origin, dns.rdatatype.SOA)) is not None:
            response.authority.append(soa)
        return None


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DNSServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        self._server.note(query)
        if self._server.is_silent:
            return
        if self._server.gate.is_set():
            self._answer(query, addr)
            return
        task = asyncio.get_running_loop().create_task(self._wait(query, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _wait(self, query: dns.message.Message, addr: tuple[str, int]) -> None:
        await self._server.gate.wait()
        self._answer(query, addr)

    def _answer(self, query: dns.message.Message, addr: tuple[str, int]) -> None:
        response = self._server.answer(query)
        if len(response.to_wire(max_size=65_535)) > self._server.udp_limit:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        self._transport.sendto(response.to_wire(), addr)


@asynccontextmanager
async def dns_serving(*zones: str) -> AsyncIterator[DNSServer]:
    """A server with these zones."""
    server = DNSServer()
    await server.open()
    try:
        for zone in zones:
            server.load(zone)
        yield server
    finally:
        server.gate.set()
        server.close()


class Clock:
    """Monotonic seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Located:
    """A resolver, its clock and its server."""

    def __init__(self, server: DNSServer, **settings: Any) -> None:
        self.server = server
        self.clock = Clock()
        settings = {"draw": random.Random(1).randint, "timeout": PATIENCE, **settings}
        self.resolver = Resolver(nameservers=[server.address], clock=self.clock, **settings)

    async def find(self, *destination: Any) -> list[str]:
        return shown(await self.resolver.resolve(*destination))

    def known(self, *destination: Any) -> list[str] | None:
        targets = self.resolver.lookup_cached(*destination)
        return None if targets is None else shown(targets)

    def silence(self, *, is_silent: bool = True) -> None:
        """Let the server fall silent, and the resolver be quick to notice; only then, so that no slow machine is."""
        self.server.is_silent = is_silent
        timeout = QUICK if is_silent else PATIENCE
        self.resolver._timeout, self.resolver._patience, self.resolver._dns.timeout = timeout, timeout * 0.75, timeout

    @property
    def asked(self) -> int:
        return self.server.questions.total()


def shown(targets: list[Target]) -> list[str]:
    return [f"{target.transport} {target.host} {target.port}" for target in targets]


@asynccontextmanager
async def located(*zones: str, **settings: Any) -> AsyncIterator[Located]:
    async with dns_serving(*zones) as server:
        located = Located(server, **settings)
        try:
            yield located
        finally:
            located.resolver.close()
            await stop_all()


def on_loops(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine on asyncio's loop and on uvloop, which workers use."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))
        uvloop.run(test(*args, **kwargs))

    return run
