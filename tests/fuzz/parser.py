"""Throw messages at the parsers of b2bua.sip: `python -m tests.fuzz.parser --seconds 600`, or `make fuzz`.

The torture tests are cut, joined and pumped up to the longest message that there may be, hypothesis builds messages of
the grammar's parts, and there are random bytes. Nothing may raise but the parsers' own error, and none may take long:
neither the parsing nor what the switch then reads of a message, each counted in seconds of CPU.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from random import Random

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from b2bua.sip.address import Address
from b2bua.sip.comparison import is_same_uri
from b2bua.sip.dialog import contact_uri, record_route
from b2bua.sip.digest import Challenge, Credentials
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.message import SIZE_LIMIT, Request, Response, parse_message
from b2bua.sip.multipart import find_body
from b2bua.sip.reason import q850_cause
from b2bua.sip.stream import StreamParser
from b2bua.sip.stun import binding_response
from b2bua.sip.timers import Timing
from b2bua.sip.transactions import TransactionLayer
from b2bua.sip.uri import URI
from b2bua.sip.via import Via
from tests.support.sip import addresses, header_parameters, message, uris, vias, wire_text

SECONDS_LIMIT = 0.020
"""Most CPU seconds for a message."""

TORTURE = Path(__file__).parents[1] / "data/torture"
FLOW = Flow("udp", "198.51.100.7", 5060)

SEEDS = [path.read_bytes() for path in sorted(TORTURE.glob("*valid/*.dat"))]
FRAGMENTS: list[bytes] = [
    *(bytes([code]) for code in b'\0\t\n\r "%,./:;<=>?@[\\]\x80\xff'),
    b"\r\n", b"\r\n ", b"\r\n\t", b"\r\n\r\n", b"\n\n", b'\\"', b'"\\"', b'"a",', b'"";', b"<a>,", b"<sip:a@b>,",
    b";a", b";a=1", b"a=1,", b"%41", b"%zz", b"%00", b"\\\0", b"SIP/2.0", b"SIP/2.0/UDP h,", b"\r\nVia: SIP/2.0/UDP h",
    b"\r\nX: y", b"\r\nX", b"sip:", b"&a=b", b"[::1]", b"1 INVITE", b"65536", b"4294967296", b"\xc3\xa9",
    b"\xed\xb3\xbf",
    b"\r\n--b\r\n", b"\r\n--b", b"\r\n--b--", b"\r\n--b\r\n\r\n", b"\r\nContent-Type: multipart/mixed;boundary=b",
    b"multipart/mixed;boundary=b", b"\r\nContent-Length: 1", b"\r\nl: 0",
]  # fmt: skip


# Messages


def mutated(random: Random) -> bytes:
    """A torture test with a few bytes replaced, removed, repeated, or taken from another."""
    data = random.choice(SEEDS)
    for _ in range(random.randint(1, 6)):
        start = random.randint(0, len(data))
        end = min(len(data), start + random.choice((0, 0, 1, 2, 8, 40)))
        other = random.choice(SEEDS)
        where = random.randint(0, len(other))
        inserted = random.choice(
            (
                b"",
                random.choice(FRAGMENTS),
                random.randbytes(random.randint(1, 4)),
                data[start:end] * 3,
                other[where : where + 60],
            )
        )
        data = data[:start] + inserted + data[end:]
    return data[:SIZE_LIMIT]


def pumped(random: Random) -> bytes:
    """A torture test as long as a message may be: some fragments repeated at one place, often in a value."""
    data = random.choice(SEEDS)
    marks = [at for at in range(len(data)) if data[at : at + 2] in (b": ", b"\r\n", b";b", b"@h", b"<s")] or [0]
    place = random.choice(marks) + random.choice((0, 1, 2)) if random.random() < 0.8 else random.randint(0, len(data))
    unit = b"".join(random.choices(FRAGMENTS, k=random.choice((1, 1, 1, 2, 3))))
    before = random.choice((b"", b"", b'"', b"<", b"sip:", b"a;", b'a;x="'))
    room = max(0, SIZE_LIMIT - len(data) - len(before))
    return data[:place] + before + unit * (room // len(unit)) + data[place:]


def noise(random: Random) -> bytes:
    """Random bytes, sometimes behind a first line, or behind what makes them look like STUN."""
    data = random.randbytes(random.choice((0, 1, 20, 200, 2000, SIZE_LIMIT - 100)))
    start = (
        b"",
        b"INVITE sip:a@b SIP/2.0\r\n",
        b"SIP/2.0 200 OK\r\n",
        b"\0\1" + len(data).to_bytes(4)[-2:] + b"\x21\x12\xa4\x42",
    )
    return (random.choice(start) + data)[:SIZE_LIMIT]


def _lines(draw: st.DrawFn) -> list[str]:
    texts = wire_text.map(lambda text: text.replace("\r", "").replace("\n", ""))
    values = st.one_of(texts, vias.map(str), addresses.map(str), uris.map(str), header_parameters.map(str))
    names = st.sampled_from(
        [
            "Via",
            "v",
            "From",
            "To",
            "t",
            "Call-ID",
            "CSeq",
            "Contact",
            "Route",
            "Record-Route",
            "Authorization",
            "Reason",
            "l",
            "X",
        ]
    )
    return [
        f"Via: {draw(vias | texts)}",
        f"From: {draw(addresses | texts)};tag=1",
        f"To: {draw(addresses | texts)}",
        f"Call-ID: {draw(texts)}",
        f"CSeq: {draw(st.integers(0, 2**33))} {draw(st.sampled_from(['INVITE', 'BYE', 'x']))}",
        *(f"{draw(names)}: {draw(values)}" for _ in range(draw(st.integers(0, 6)))),
    ]


@st.composite
def grammatical(draw: st.DrawFn) -> bytes:
    """A message made of parts that are well-formed, or nearly so."""
    start = draw(st.sampled_from(["INVITE {} SIP/2.0", "BYE {} SIP/2.0", "SIP/2.0 200 {}"]))
    return message(start.replace("{}", str(draw(uris | wire_text))), _lines(draw), draw(st.binary(max_size=40)))


def built(number: int, count: int) -> list[bytes]:
    """So many messages of hypothesis."""
    collected: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(grammatical())
    def collect(data: bytes) -> None:
        collected.append(data[:SIZE_LIMIT])

    collect()
    return collected


def messages(number: int) -> Iterator[bytes]:
    """Messages without end, always the same for a number."""
    random = Random(number)
    yield from SEEDS
    while True:
        for make in (mutated, pumped, mutated, noise):
            for _ in range(20):
                yield make(random)
        number += 1
        yield from built(number, 25)


# What is done with one


@dataclass(slots=True)
class Slowest:
    """The message that took longest."""

    seconds: float = 0.0
    data: bytes = b""
    what: str = ""

    def note(self, seconds: float, data: bytes, what: str) -> None:
        """Keep it if it took longer."""
        if seconds > self.seconds:
            self.seconds, self.data, self.what = seconds, data, what


@dataclass(slots=True)
class Run:
    """Takes messages and keeps what was found."""

    random: Random
    count: int = 0
    parse: Slowest = field(default_factory=Slowest)
    read: Slowest = field(default_factory=Slowest)
    failed: bytes | None = None
    """The message that something raised at, or that took too long."""

    def check(self, data: bytes) -> None:
        """Take one message; whatever is wrong with it is raised."""
        self.count += 1
        self.failed = data
        parsed = self.timed(self.parse, parse_message, data)
        attempt(lambda: parse_message(data, framed=True))
        if isinstance(parsed, Request | Response):
            self._read(parsed)
        self._receive(data)
        for slowest in (self.parse, self.read):
            assert slowest.seconds < SECONDS_LIMIT, f"{slowest.what} takes {slowest.seconds * 1000:.1f} ms"
        self.failed = None

    def timed(self, slowest: Slowest, parse: Callable[..., object], *arguments: object) -> object:
        """Attempt it, and note how long it took; what seems slow is measured again, for others take the caches away."""
        best = float("inf")
        for _ in range(5):
            started = time.thread_time()
            result = attempt(parse, *arguments)
            best = min(best, time.thread_time() - started)
            if best < SECONDS_LIMIT / 2:
                break
        assert self.failed is not None
        slowest.note(best, self.failed, getattr(parse, "__qualname__", "parser"))
        return result

    def _try(self, parse: Callable[..., object], *arguments: object) -> object:
        return self.timed(self.read, parse, *arguments)

    def _read(self, parsed: Request | Response) -> None:
        """Read all that the switch may read of a message, and write what it may write."""
        headers = parsed.headers
        if isinstance(parsed, Request):
            self._read_uri(parsed.uri)
            self._try(lambda: Response.to(parsed, 200, "us").to_bytes())
        for name in ("from", "to", "contact", "route", "record-route", "p-asserted-identity"):
            for value in headers.get(name, ()):
                self._read_addresses(value)
        for value in headers["via"][:8]:
            self._try(Via.parse, value)
        for name in ("authorization", "proxy-authorization", "www-authenticate", "proxy-authenticate"):
            for value in headers.get(name, ()):
                self._try(Credentials.parse, value)
                self._try(Challenge.parse, value)
        for read in (contact_uri, record_route):
            self._try(read, parsed)
        self._try(q850_cause, headers)
        self._try(find_body, headers.first("content-type"), parsed.body, "application/sdp")
        written = parsed.to_bytes()
        if len(written) <= SIZE_LIMIT:
            assert parse_message(written).headers == headers

    def _read_addresses(self, value: str) -> None:
        for part in (self._try(split_outside_quotes, value, ",") or [])[:8]:  # type: ignore[index]
            address = self._try(Address.parse, part)
            if isinstance(address, Address):
                written = str(address)  # longer, where much of it has to be escaped
                self._try(Address.parse, written[:SIZE_LIMIT])

    def _read_uri(self, text: str) -> None:
        uri = self._try(URI.parse, text)
        if isinstance(uri, URI):
            assert URI.parse(str(uri)) == uri
            assert self._try(is_same_uri, uri, uri)
            self._try(lambda: uri.number)

    def _receive(self, data: bytes) -> None:
        """Take the bytes as an endpoint does: as a datagram, as STUN, and as a stream in pieces."""
        layer = TransactionLayer(Timing(), lambda: "own", lambda flow: "192.0.2.1:5060")
        layer.receive(data, FLOW, 0.0)
        layer.take_events()
        layer.take_outgoing()
        binding_response(data, FLOW.host, FLOW.port)
        parser, position = StreamParser(), 0
        parser.pongs_due = self.random.randint(0, 2)
        sizes = (1, 3, 50, 1460, 65536) if len(data) < 3000 else (1460, 65536)
        while position < len(data):
            size = self.random.choice(sizes)
            if attempt(parser.receive, data[position : position + size]) is None:
                break
            position += size


def attempt(parse: Callable[..., object], *arguments: object) -> object:
    """What a parser gives, or None where it refuses."""
    try:
        return parse(*arguments)
    except ParseError:
        return None


def shown(data: bytes) -> str:
    """A message in short."""
    return f"{len(data)} bytes, {data[:60]!r} … {data[len(data) // 2 :][:60]!r} … {data[-40:]!r}"


def main() -> int:
    """Fuzz from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.parser", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    run = Run(Random(options.seed))
    sys.stdout.write(f"seed {options.seed}\n")
    started, status = time.monotonic(), 0
    try:
        for data in messages(options.seed):
            if time.monotonic() - started > options.seconds:
                break
            run.check(data)
    except Exception as fault:
        assert run.failed is not None
        path = Path(tempfile.gettempdir()) / f"fuzz-{sha256(run.failed).hexdigest()[:12]}.dat"
        path.write_bytes(run.failed)
        sys.stdout.write(f"FAILED: {fault!r}\n{shown(run.failed)}\nkept in {path}\n")
        status = 1
    elapsed = time.monotonic() - started
    sys.stdout.write(f"{run.count} messages in {elapsed:.0f} s, {run.count / elapsed:.0f} a second\n")
    for what, slowest in (("parse", run.parse), ("read", run.read)):
        spent = f"{slowest.seconds * 1000:.1f} ms ({slowest.what})"
        sys.stdout.write(f"slowest to {what}: {spent}: {shown(slowest.data)}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
