"""What `softswitch doctor` looks at: one function per check, each with its own findings.

A machine where nothing runs is not ill: what is merely away while no SIP worker answers is a warning. No check changes
anything.
"""

import asyncio
import errno
import shutil
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

import asyncpg
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from b2bua.cli import queries
from b2bua.cli.output import exact
from b2bua.control.client import ControlClient
from b2bua.control.messages import Message
from b2bua.sip.uri import join_host_port
from b2bua.transport.location import ServerNotLocated
from b2bua.transport.resolver import Resolver
from cdr.keeper import read_funds
from cdr.space import WARN_ABOVE
from conf.migrate import check_version
from conf.schema import SCHEMA_VERSION
from conf.settings import Settings
from rating.funds import from_micros
from rating.ledger import balances_off

OLDEST_BEAT: Final = 10
"""Seconds after which a CDR writer that gave no sign is taken for dead."""
LARGEST_BACKLOG: Final = 64 * 1024 * 1024
"""Bytes of journal that are not in the database yet, above which the writer does not keep up."""
LARGEST_CLOCK_DIFFERENCE: Final = 1.0
"""Seconds between our clock and that of the database."""
LEAST_FREE: Final = 200 * 1024 * 1024
"""Bytes; below it journals and the database are about to stop."""
LITTLE_FREE: Final = 0.1
"""Part of the disk; below it somebody should look."""
LOOKED_UP: Final = 16
"""Names of gateways that are looked up at a time."""
SHOWN: Final = 4
"""Servers of a name that are shown."""
SECOND_LOOK: Final = 1.0
"""Seconds between two looks at the counters: a call that begins or ends is seen half done only once."""
_HELD: Final = " (held)"
_OWED: Final = " (owed)"
_PLACES: Final = {"kernel": "the kernel (nftables)", "user space": "user space"}
CAP_NET_ADMIN: Final = 12
"""Bit of the capability, linux/capability.h."""


class State(StrEnum):
    """What a check came to."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "FAULT"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor."""

    check: str
    state: State
    text: str


@dataclass(slots=True)
class Scene:
    """What was found before the checks begin."""

    settings: Settings
    control: ControlClient
    pings: list[Message] = field(default_factory=list)
    """Answers of the SIP workers of this machine."""
    silent: list[str] = field(default_factory=list)
    """Workers that hold their socket and do not answer."""
    dead: list[str] = field(default_factory=list)
    """Workers whose socket is left and that nobody serves."""
    connection: "asyncpg.Connection[asyncpg.Record] | None" = None
    database_name: str = ""
    """URL without password, or why there is no connection."""
    live: Valkey | None = None
    live_name: str = ""

    @property
    def is_running(self) -> bool:
        """Whether the switch runs on this machine."""
        return bool(self.pings)

    def away(self, *, is_embedded: bool) -> State:
        """How bad it is that a server is away."""
        return State.FAULT if self.is_running or not is_embedded else State.WARNING


async def check_ports(scene: Scene) -> list[Finding]:
    """Each address of sip.listen is taken while we run, and free otherwise."""
    findings = []
    for address in scene.settings.sip.listen:
        parts = urlsplit(address)
        kind = socket.SOCK_DGRAM if parts.scheme == "udp" else socket.SOCK_STREAM
        port = 5060 if parts.port is None else parts.port
        if port == 0:
            findings.append(Finding("port", State.OK, f"{address} any free port"))
            continue
        state, text = _judge_port(_is_taken(parts.hostname or "", port, kind), scene.is_running)
        findings.append(Finding("port", state, f"{address} {text}"))
    panel = urlsplit(f"//{scene.settings.panel.listen}")
    state, text = _judge_port(_is_taken(panel.hostname or "", panel.port or 8080, socket.SOCK_STREAM), scene.is_running)
    if state is State.FAULT:
        # The panel is a process of its own: it may run where no SIP worker does, and be stopped where one does.
        state = State.WARNING
    findings.append(Finding("port", state, f"panel {scene.settings.panel.listen} {text}"))
    return findings


def _judge_port(taken: bool | str, is_running: bool) -> tuple[State, str]:
    if isinstance(taken, str):
        return State.FAULT, f"cannot be used: {taken}"
    if is_running:
        return (State.OK, "listening") if taken else (State.FAULT, "not listening, though the switch runs")
    return (State.FAULT, "taken by another program") if taken else (State.OK, "free; the switch is not running")


def _is_taken(host: str, port: int, kind: socket.SocketKind) -> bool | str:
    """Tell whether somebody listens there, by trying to; a text says why it could not be tried."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host or None, port, type=kind, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Else connections that were closed a minute ago would count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return True if error.errno == errno.EADDRINUSE else error.strerror or str(error)
    return False


async def check_database(scene: Scene) -> list[Finding]:
    """PostgreSQL answers and has our tables."""
    if scene.connection is None:
        state = scene.away(is_embedded=not scene.settings.database.url)
        return [Finding("database", state, scene.database_name)]
    version = await queries.server_version(scene.connection)
    # What check_version raises is our text.
    await check_version(scene.connection)
    return [
        Finding("database", State.OK, f"PostgreSQL {version} at {scene.database_name}"),
        Finding("schema", State.OK, f"version {SCHEMA_VERSION}"),
    ]


async def check_clock(scene: Scene) -> list[Finding]:
    """Our clock and the database's agree, since records compare times of both."""
    assert scene.connection is not None
    before = datetime.now(UTC)
    theirs = await queries.server_time(scene.connection)
    after = datetime.now(UTC)
    difference = abs((theirs - before - (after - before) / 2).total_seconds())
    state = State.OK if difference < LARGEST_CLOCK_DIFFERENCE else State.FAULT
    return [Finding("clock", state, f"{difference:.3f} s from the database's")]


async def check_ledger(scene: Scene) -> list[Finding]:
    """Every balance is the sum of its entries."""
    assert scene.connection is not None
    off = await balances_off(scene.connection)
    if not off:
        return [Finding("ledger", State.OK, "every balance is the sum of its entries")]
    return [
        Finding("ledger", State.FAULT, f"{one.code}: balance {exact(one.balance)}, entries {exact(one.entries)}")
        for one in off[:20]
    ]


async def check_writer(scene: Scene) -> list[Finding]:
    """The CDR writer gives signs of life and keeps up with the journals."""
    assert scene.connection is not None
    beats = await queries.writer_beats(scene.connection)
    bad = State.FAULT if scene.is_running else State.WARNING
    if not beats:
        unknown = Finding("journal", State.WARNING, "backlog unknown: no writer has looked at it")
        return [Finding("CDR writer", bad, "none has ever run"), unknown]
    findings = []
    for beat in beats:
        is_alive = beat.age < OLDEST_BEAT
        text = f"{beat.name} gave a sign {beat.age:.1f} s ago"
        findings.append(Finding("CDR writer", State.OK if is_alive else bad, text))
        backlog = f"{beat.name} has {beat.backlog} bytes to write" + ("" if is_alive else ", when last seen")
        keeps_up = beat.backlog <= LARGEST_BACKLOG and (is_alive or beat.backlog == 0)
        findings.append(Finding("journal", State.OK if keeps_up else State.WARNING, backlog))
    return findings


async def check_workers(scene: Scene) -> list[Finding]:
    """Every SIP worker of this machine answers."""
    findings = [Finding("SIP worker", State.FAULT, f"{name} does not answer") for name in scene.silent]
    if scene.is_running:
        findings += [Finding("SIP worker", State.FAULT, f"{name} has died") for name in scene.dead]
    for ping in scene.pings:
        text = f"{ping['worker']} answers; revision {ping.get('revision')}, {ping.get('calls')} calls"
        draining = bool(ping.get("draining"))
        findings.append(
            Finding("SIP worker", State.WARNING if draining else State.OK, text + (", draining" if draining else ""))
        )
    return findings or [Finding("SIP worker", State.WARNING, "none runs on this machine")]


async def check_space(scene: Scene) -> list[Finding]:
    """No worker's journal is on its way to the limit at which calls are refused; asked of the workers themselves."""
    findings = []
    for ping in scene.pings:
        waiting, limit = int(ping.get("journal_waiting") or 0), int(ping.get("journal_limit") or 0)
        text = f"{ping['worker']} has {waiting} of {limit or 'any number of'} bytes waiting for the database"
        state = State.OK
        if limit and waiting >= WARN_ABOVE * limit:
            state = State.FAULT if waiting >= limit else State.WARNING
            text += ", new calls are refused" if waiting >= limit else ""
        findings.append(Finding("journal limit", state, text))
    return findings or [Finding("journal limit", State.OK, "no SIP worker writes a journal now")]


async def check_live(scene: Scene) -> list[Finding]:
    """Valkey answers, writes a log, and throws nothing away."""
    assert scene.live is not None
    try:
        await scene.live.ping()
    except (ValkeyError, OSError, TimeoutError) as error:
        state = scene.away(is_embedded=not scene.settings.live.url)
        fault = str(error) or type(error).__name__
        return [Finding("live store", state, f"{scene.live_name} does not answer: {fault}")]
    findings = [Finding("live store", State.OK, f"{scene.live_name} answers")]
    try:
        options = await scene.live.config_get("appendonly", "maxmemory-policy")  # type: ignore[arg-type]
    except ValkeyError:
        # Hosted servers forbid CONFIG.
        return [*findings, Finding("live store", State.WARNING, "does not show its configuration")]
    if options.get("appendonly") != "yes":
        findings.append(Finding("live store", State.WARNING, "appendonly is off: a restart loses what calls hold"))
    if options.get("maxmemory-policy") != "noeviction":
        policy = options.get("maxmemory-policy")
        findings.append(Finding("live store", State.WARNING, f"maxmemory-policy is {policy}, it must be noeviction"))
    return findings


async def check_counters(scene: Scene) -> list[Finding]:
    """No session and no hold of funds is left of a worker that is gone, or of one that has no calls."""
    assert scene.live is not None
    try:
        off = await _counters_off(scene)
        if off:
            await asyncio.sleep(SECOND_LOOK)
            again = await _counters_off(scene)
            off = {place: text for place, text in again.items() if place in off}
    except (ValkeyError, OSError, TimeoutError) as error:
        return [Finding("counters", State.WARNING, f"not checked: {str(error) or type(error).__name__}")]
    if not off:
        return [Finding("counters", State.OK, "no session counter and no hold is left over")]
    # Workers of other machines share a server that a URL names, and cannot be asked from here.
    state = State.WARNING if scene.settings.live.url else State.FAULT
    return [Finding("counters", state, text) for text in list(off.values())[:20]]


async def _counters_off(scene: Scene) -> dict[tuple[str, str], str]:
    """Return what each counter that should not be there says, by instance and key."""
    counters = await _read_counters(scene)
    pings = await scene.control.request_all("ping")
    busy = {str(ping.get("instance")): int(ping.get("calls") or 0) for ping in pings}
    off = {}
    for (instance, key), count in counters.items():
        if instance not in busy:
            off[instance, key] = f"{key} counts {count} of {instance}, which is not running here"
        elif busy[instance] == 0 and not key.endswith(_OWED):
            off[instance, key] = f"{key} counts {count} of {instance}, which has no calls"
    return off


async def _read_counters(scene: Scene) -> Counter[tuple[str, str]]:
    assert scene.live is not None
    counters: Counter[tuple[str, str]] = Counter()
    async for key in scene.live.scan_iter(match="sessions:*", count=500, _type="HASH"):
        fields: dict[str, str] = await cast("Awaitable[dict[str, str]]", scene.live.hgetall(key))
        for instance, count in fields.items():
            if int(count) != 0:
                counters[instance, key] = int(count)
    async for key in scene.live.scan_iter(match="funds:*", count=500, _type="HASH"):
        fields = await cast("Awaitable[dict[str, str]]", scene.live.hgetall(key))
        for name, amount in fields.items():
            kind, _, instance = name.partition(":")
            if kind in ("h", "p") and int(amount) != 0:
                counters[instance, key + (_HELD if kind == "h" else _OWED)] = int(amount)
    return counters


async def check_funds(scene: Scene) -> list[Finding]:
    """What the live store lets each account spend is what the database says."""
    assert scene.live is not None
    assert scene.connection is not None
    try:
        off = await _funds_off(scene)
        if off:
            await asyncio.sleep(SECOND_LOOK)
            off = {code: text for code, text in (await _funds_off(scene)).items() if code in off}
    except (ValkeyError, OSError, TimeoutError) as error:
        return [Finding("funds", State.WARNING, f"not checked: {str(error) or type(error).__name__}")]
    if not off:
        return [Finding("funds", State.OK, "the live store knows what every account may spend")]
    return [Finding("funds", scene.away(is_embedded=True), text) for text in list(off.values())[:20]]


async def _funds_off(scene: Scene) -> dict[int, str]:
    assert scene.live is not None
    assert scene.connection is not None
    off = {}
    for funds in await read_funds(scene.connection):
        fields = await cast("Awaitable[list[str | None]]", scene.live.hmget(funds.key, ["next", "base"]))
        base = fields[0] or fields[1]
        if base is None or int(base) != funds.micros:
            known = "nothing" if base is None else f"{from_micros(int(base)):f}"
            wanted = f"{from_micros(funds.micros):f}"
            off[funds.account_id] = f"account id {funds.account_id}: the live store says {known}, the database {wanted}"
    return off


async def check_gateways(scene: Scene) -> list[Finding]:
    """We listen on the transport of every gateway that is used, and DNS knows where those are that have a name."""
    assert scene.connection is not None
    gateways = await queries.active_gateways(scene.connection)
    ours = tuple(dict.fromkeys(urlsplit(address).scheme for address in scene.settings.sip.listen))
    findings = [
        Finding("gateway", State.WARNING, f"{each['name']}: nothing of ours listens on {each['transport']}")
        for each in gateways
        if each["transport"] not in ours
    ]
    named = [each for each in gateways if each["transport"] in ours and not _is_address(each["host"])]
    dns = scene.settings.dns
    resolver = Resolver(ours, dns.nameservers, dns.timeout, is_quiet=True)
    try:
        for start in range(0, len(named), LOOKED_UP):
            found = (_find_gateway(resolver, each) for each in named[start : start + LOOKED_UP])
            findings += await asyncio.gather(*found)
    finally:
        resolver.close()
    return findings or [Finding("gateway", State.OK, f"{len(gateways)} in use, each given by its address")]


async def _find_gateway(resolver: Resolver, gateway: queries.Row) -> Finding:
    try:
        targets = await resolver.resolve(gateway["host"], gateway["port"], gateway["transport"])
    except ServerNotLocated as error:
        return Finding("gateway", State.FAULT, f"{gateway['name']} cannot be found: {error}")
    places = [f"{each.transport}:{join_host_port(each.host, each.port)}" for each in targets]
    shown = ", ".join(places[:SHOWN]) + (f" and {len(places) - SHOWN} more" if len(places) > SHOWN else "")
    return Finding("gateway", State.OK, f"{gateway['name']}: {gateway['host']} is at {shown}")


def _is_address(host: str) -> bool:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


async def check_bans(scene: Scene) -> list[Finding]:
    """Say where banned sources are dropped; user space works as well, at a higher cost, so it is never a fault."""
    findings = []
    for ping in scene.pings:
        if "ban_path" in ping:
            text = f"{ping['worker']} drops {ping.get('bans')} banned sources in {_PLACES[ping['ban_path']]}"
            findings.append(Finding("bans", State.OK, text))
    return findings


async def check_disk(scene: Scene) -> list[Finding]:
    """The disk of the data directory has room for journals and the database."""
    path = scene.settings.system.path
    place = next(parent for parent in (path, *path.parents) if parent.exists())
    usage = shutil.disk_usage(place)
    text = f"{usage.free / 2**30:.1f} of {usage.total / 2**30:.1f} GiB free at {path}"
    if usage.free < LEAST_FREE:
        return [Finding("disk", State.FAULT, text)]
    return [Finding("disk", State.OK if usage.free > LITTLE_FREE * usage.total else State.WARNING, text)]


async def check_capabilities(scene: Scene) -> list[Finding]:
    """Say whether media can be forwarded by the kernel; it works without, so this is never a fault."""
    return [Finding("CAP_NET_ADMIN", State.OK, describe_capability(Path("/proc/self/status")))]


def describe_capability(status: Path) -> str:
    """Say what the effective capabilities in a file like /proc/self/status mean for media."""
    try:
        line = next(line for line in status.read_text().splitlines() if line.startswith("CapEff:"))
    except (OSError, StopIteration):
        return "unknown on this system"
    has_it = int(line.split()[1], 16) >> CAP_NET_ADMIN & 1
    return "yes: the kernel can forward media" if has_it else "no: media stay in user space"


Check = Callable[[Scene], Coroutine[Any, Any, list[Finding]]]

CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("port", check_ports),
    ("database", check_database),
    ("live store", check_live),
    ("SIP worker", check_workers),
    ("CDR writer", check_writer),
    ("journal limit", check_space),
    ("clock", check_clock),
    ("CAP_NET_ADMIN", check_capabilities),
    ("bans", check_bans),
    ("disk", check_disk),
    ("counters", check_counters),
    ("ledger", check_ledger),
    ("funds", check_funds),
    ("gateway", check_gateways),
)
"""Every check under the name that its line bears when it cannot be done, in the order of the lines."""

NEED_DATABASE: Final = frozenset({"CDR writer", "clock", "ledger", "funds", "gateway"})
"""Checks that make no sense without a connection and our tables."""
