"""A SIP worker: the composition root, the only place that builds its parts and orders their start and stop."""

import asyncio
import contextlib
import gc
import math
import signal
import time
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import asyncpg
import hiredis
import structlog
import uvloop

from b2bua.ban.firewall import Firewall
from b2bua.ban.service import BanService
from b2bua.call.authentication import Authenticator
from b2bua.call.carrier_registration import CarrierRegistrations
from b2bua.call.disposition import refusal
from b2bua.call.driver import CallDriver
from b2bua.call.forwarding import ForwardSigner
from b2bua.call.gateway_location import GatewayLocator, make_resolver
from b2bua.call.identity import new_call_id
from b2bua.call.keep_alive import KeepAlive
from b2bua.call.ladder import WAITING_LIMIT, WRITE_LIMIT
from b2bua.call.recovery import end_lost, record_lost
from b2bua.call.subscriptions import Subscriptions
from b2bua.control.bans import BanVerbs
from b2bua.control.media import MediaVerbs
from b2bua.control.messages import CALLS_LIMIT, REGISTRATIONS_LIMIT, ControlError, Message
from b2bua.control.server import ControlServer, Verb
from b2bua.hep.packet import Place
from b2bua.hep.sender import HEPSender
from b2bua.large_pages import reserve, use_large_pages
from b2bua.live.admission import BEAT, Admission
from b2bua.live.connection import LiveConnection, StoreAway
from b2bua.live.lease import Leases
from b2bua.metrics import Sample, process_samples
from b2bua.policy.decision import AUTHENTICATE
from b2bua.policy.explain import InvalidQuestion, Question, explain
from b2bua.policy.snapshot import Snapshot
from b2bua.policy.store import SnapshotStore
from b2bua.registrar.listing import Wanted
from b2bua.registrar.mailbox import MailboxStore
from b2bua.registrar.service import Registrar
from b2bua.registrar.store import BindingStore
from b2bua.sip.digest import NonceMaker
from b2bua.sip.flow import Flow
from b2bua.tasks import spawn, stop_all
from b2bua.transport.address import local_address
from b2bua.transport.endpoint import Endpoint
from b2bua.turns import Turns
from cdr.errors import JournalLocked
from cdr.journal import JournalWriter
from cdr.space import SpaceWatch
from conf.database import connect_pool
from conf.embedded.location import live_url, run_directory
from conf.errors import ConfigurationError, ServerUnavailable
from conf.ready import announce_ready
from conf.secret import CARRIERS, Vault, derive_key, load_secret
from conf.settings import Settings
from media.client import MediaClient
from media.engine_address import engine_addresses
from rating.funds import funds_key, micros_up

log = structlog.get_logger()

_TRACE_LOOK: Final = 0.1
"""Seconds between two looks for calls whose messages are to be written, while there are many."""

_TRACE_REST: Final = 2.0
"""The same while there are few: to write some at once costs much less than one by one."""

_POSTING_LOOK: Final = 0.5
"""Seconds between two looks at how far the writer has posted our journal."""

GOODBYE: Final = 0.5
"""How long a worker that stops waits for answers to its last messages, in seconds."""


class WorkerRunning(ConfigurationError):
    """A worker of the same name runs already."""


def run(settings: Settings, name: str) -> int:
    """Run a worker until it is told to stop; returns its exit status.

    Raises:
        ConfigurationError: a port is taken, a server is away, another worker has the name, …
    """
    uvloop.run(_run(settings, name))
    return 0


async def _run(settings: Settings, name: str) -> None:
    worker = Worker(settings, name)
    try:
        await worker.start()
        await worker.stopped.wait()
    finally:
        await worker.stop()


class Worker:
    """One SIP worker.

    Args:
        settings: Everything that was set.
        name: `sip-1`, …; the lock of its journal makes it unique.
    """

    def __init__(self, settings: Settings, name: str) -> None:
        self._settings = settings
        self._name = name
        self._started_at = time.time()
        self._instance = f"{name}:{new_call_id(self._started_at)}"
        self.stopped = asyncio.Event()
        self._parts = contextlib.AsyncExitStack()
        self._driver: CallDriver
        self._endpoint: Endpoint
        self._live: LiveConnection
        self._admission: Admission
        self._registrar: Registrar
        self._journal: JournalWriter
        self._snapshots: SnapshotStore
        self._firewall: Firewall | None = None
        self._hep: HEPSender | None = None
        self._bans: BanService
        self._carrier_registrations: CarrierRegistrations
        self._keep_alive: KeepAlive
        self._subscriptions: Subscriptions
        self._locator: GatewayLocator

    async def start(self) -> None:
        """Start every part; calls are accepted at the end of it."""
        settings = self._settings
        pool = await connect_pool(settings, min_size=1, max_size=3)
        self._parts.callback(pool.terminate)
        self._snapshots = SnapshotStore(
            pool, settings, self._configuration_changed, Vault(load_secret(settings), CARRIERS).open
        )
        await self._snapshots.open()
        self._journal = self._open_journal()
        lost = self._journal.recover()
        self._journal.open(time.time(), lost)
        self._parts.callback(lambda: self._journal.close(time.time()))
        await self._open_live()
        self._build_endpoint()
        await self._endpoint.open()
        self._parts.callback(self._endpoint.close)
        if self._firewall is not None:
            await self._firewall.open((address.transport, address.port) for address in self._endpoint.addresses)
        record_lost(self._journal, lost)
        await self._take_over_debits(pool)
        await self._admission.drop_predecessors()
        control = ControlServer(run_directory(settings) / f"{self._name}.sock", self._verbs())
        await control.open()
        self._parts.callback(control.close)
        self._listen_for_signals()
        self._locator.follow(self._snapshots.current)
        await self._locator.ready()
        self._driver.configuration_changed(self._snapshots.current)
        self._endpoint.start()
        spawn(self._housekeeping(), "housekeeping")
        spawn(self._load_registrations(), "registrations")
        spawn(self._keep_alive.run(), "keep-alive")
        spawn(self._subscriptions.run(), "subscriptions")
        spawn(self._write_refusals(), "refusals")
        spawn(self._keep_lease(), "lease")
        spawn(self._write_traces(), "traces")
        if self._hep is not None:
            spawn(self._hep.run(), "hep")
        spawn(self._bans.run(), "bans")
        spawn(self._follow_posting(), "posting")
        spawn(SpaceWatch(self._journal, self._name).run(pool), "journal-space")
        spawn(end_lost(self._endpoint, lost, self._driver.media), "end-lost-calls")
        _quieten_garbage_collector()
        self._reserved = reserve(self._settings.sip.call_memory)
        use_large_pages()
        announce_ready()
        log.info("worker is ready", instance=self._instance, listen=[str(a) for a in self._endpoint.addresses])

    def _open_journal(self) -> JournalWriter:
        settings = self._settings
        try:
            return JournalWriter(
                settings.system.path / "journal" / self._name,
                self._name,
                self._instance,
                segment_size=settings.cdr.segment_size,
                sync_interval=settings.cdr.sync_interval,
                carried=lambda: self._driver.answered_lines(),  # noqa: PLW0108 - the driver is made later
                limit=settings.cdr.journal_limit,
            )
        except JournalLocked as error:
            raise WorkerRunning(f"worker {self._name} runs already: {error}") from error

    async def _open_live(self) -> None:
        settings = self._settings
        self._admission = Admission(self._instance, admit_when_away=settings.live.when_away == "allow")
        self._open_bans()
        url = live_url(settings)
        self._turns = Turns(settings.sip.gather)
        self._parts.callback(self._turns.close)
        self._live = LiveConnection(url, settings.live.timeout, self._attach_live, self._turns)
        try:
            await self._live.open()
        except (OSError, TimeoutError, StoreAway) as error:
            raise ServerUnavailable(f"Valkey at {url} is not available: {str(error) or 'no answer in time'}") from error
        self._parts.push_async_callback(self._live.close)
        self._registrar = Registrar(BindingStore(self._live), self._instance)

    def _open_bans(self) -> None:
        ban = self._settings.ban
        if ban.firewall:
            self._firewall = Firewall(f"{ban.table}-{self._name}")
            self._parts.push_async_callback(self._firewall.close)
        self._bans = BanService(ban, self._name, self._is_exempt, self._firewall)

    def _attach_live(self, connection: LiveConnection) -> None:
        self._admission.attach(connection)
        self._bans.attach(connection)
        if hasattr(self, "_subscriptions"):
            self._subscriptions.attach()

    def _is_exempt(self, address: str) -> bool:
        """Whether a source is never banned: what has a device, a gateway, a registration or a call (§1.6)."""
        snapshot = self._snapshots.current
        return (
            address in self._settings.sip.trusted_proxies
            or snapshot.devices.has(address)
            or address in snapshot.gateways_at
            or self._driver.is_known(address)
            or self._registrar.has_source(address)
        )

    def _build_endpoint(self) -> None:
        settings = self._settings
        secret = load_secret(settings)
        nonces = NonceMaker(derive_key(secret, "nonce"))
        self._driver = CallDriver(
            settings,
            self._name,
            self._admission,
            self._journal,
            lambda: self._snapshots.current,
            Authenticator(nonces, self._bans.failed, self._bans.is_refused),
            ForwardSigner(derive_key(secret, "forward")),
        )
        self._endpoint = Endpoint(settings.sip, self._driver, settings.tls, self._turns)
        self._driver.endpoint = self._endpoint
        self._locator = self._driver.locator = GatewayLocator(
            self._endpoint, make_resolver(self._endpoint, settings.dns)
        )
        self._parts.callback(self._locator.close)
        self._locator.on_moved = self._bans.lift_exempt
        self._endpoint.add_after_turn(self._live.flush)
        self._endpoint.is_banned = self._bans.is_banned
        self._open_hep()
        if self._driver.ladders.is_on:
            self._endpoint.show = self._driver.ladders.take
        self._open_media()
        self._driver.bans = self._bans
        leases = Leases(self._live, self._instance)
        self._driver.carrier_registrations = self._carrier_registrations = CarrierRegistrations(
            self._endpoint, leases, self._locator.locate, user_agent=settings.sip.user_agent
        )
        self._driver.registrar = self._registrar
        self._keep_alive = KeepAlive(self._endpoint, settings.sip, self._instance)
        self._registrar.follow(self._keep_alive)
        self._driver.subscriptions = self._subscriptions = Subscriptions(
            self._endpoint, MailboxStore(self._live), lambda: self._snapshots.current, settings.sip.user_agent
        )

    def _open_media(self) -> None:
        if addresses := engine_addresses(self._settings):
            media = self._driver.media = MediaClient(
                addresses, self._driver.media_timed_out, digit_heard=self._driver.digit_heard
            )
            media.open()
            self._parts.callback(media.close)

    def _open_hep(self) -> None:
        settings = self._settings
        if settings.hep.url:
            self._hep = HEPSender(settings.hep, settings.system.node, self._our_place)
            self._driver.ladders.export_to(self._hep)
            self._endpoint.add_after_turn(lambda: self._driver.ladders.export(self._endpoint.now(), time.time()))

    def _our_place(self, flow: Flow) -> Place:
        """Our own end of a flow."""
        address = self._endpoint.addresses[flow.listener]
        return local_address(flow.host) if address.is_wildcard else address.host, address.port

    def _configuration_changed(self, snapshot: Snapshot) -> None:
        log.info("configuration loaded", revision=snapshot.revision, accounts=len(snapshot.accounts))
        # The first one comes before there is anybody to tell.
        if hasattr(self, "_endpoint"):
            self._driver.configuration_changed(snapshot)
            self._bans.lift_exempt()

    async def _housekeeping(self) -> None:
        while True:
            await asyncio.sleep(10.0)
            self._endpoint.close_idle()
            use_large_pages(at_once=False)
            self._endpoint.certificates.look()

    async def _load_registrations(self) -> None:
        await self._registrar.load()
        self._bans.lift_exempt()

    async def _keep_lease(self) -> None:
        """Say that we are alive, and give back what dead workers of any machine had taken."""
        while True:
            try:
                await self._admission.keep_lease()
            except (StoreAway, hiredis.ReplyError) as error:
                log.debug("no life sign given", error=str(error))
            await asyncio.sleep(BEAT)

    async def _write_refusals(self) -> None:
        """Write the records that many refusals share, once their second is over."""
        while True:
            await asyncio.sleep(0.5)
            self._driver.refusals.flush(time.time())
            self._endpoint.end_of_turn()

    async def _write_traces(self) -> None:
        """Write the messages of calls that have been over for a moment."""
        while True:
            written = self._driver.ladders.write_due(self._endpoint.now())
            if written:
                self._journal.flush(time.time())
            await asyncio.sleep(_TRACE_LOOK if written == WRITE_LIMIT else _TRACE_REST)

    # What was posted

    async def _posted_position(self, pool: "asyncpg.Pool[asyncpg.Record]") -> tuple[int, int]:
        """How far our journal is in the live store's figures; where it has none yet, in the database."""
        known = await self._admission.posted_position()
        if known is not None:
            return known
        row = await pool.fetchrow('SELECT segment, "offset" FROM journal_position WHERE worker = $1', self._name)
        return (row["segment"], row["offset"]) if row is not None else (0, 0)

    async def _take_over_debits(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        """What ended calls owe and is not posted stays held, whoever wrote the record."""
        for position, line in self._journal.unposted(await self._posted_position(pool)):
            chain = line["record"]["account_chain"]
            owed = [(charge[1], micros_up(Decimal(charge[8]))) for charge in line["charges"] if charge[1] is not None]
            keys = [funds_key(chain[-1], account_id) for account_id, _ in owed]
            for key, (_, amount) in zip(keys, owed, strict=True):
                self._admission.owe(key, amount)
            self._admission.note_unposted(position, keys, [amount for _, amount in owed])
        self._live.flush()

    async def _follow_posting(self) -> None:
        while True:
            await asyncio.sleep(_POSTING_LOOK)
            try:
                position = await self._admission.posted_position()
            except (StoreAway, hiredis.ReplyError):
                continue
            if position is not None:
                self._admission.posted(position)
            self._live.flush()

    # Stopping

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stopped.set)

    async def stop(self) -> None:
        """End every call, wait a moment for the last answers, stop every part."""
        if hasattr(self, "_endpoint"):
            self._driver.is_draining = True
            if hasattr(self, "_carrier_registrations"):
                await self._carrier_registrations.close(GOODBYE)
            ended = self._driver.hang_up_all("DRAINING")
            if ended:
                log.info("calls ended", calls=ended)
                await asyncio.sleep(GOODBYE)
            self._driver.leave_dialogs()
            self._driver.refusals.flush(math.inf)
            self._driver.ladders.write_due(math.inf, WAITING_LIMIT)
            self._endpoint.end_of_turn()
        # Whoever uses the parts ends before them.
        await stop_all(1.0)
        if hasattr(self, "_admission"):
            with contextlib.suppress(StoreAway, hiredis.ReplyError):
                await self._admission.give_up_lease()
        await self._parts.aclose()

    async def _drain(self, seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while self._driver.calls and asyncio.get_running_loop().time() < deadline:  # noqa: ASYNC110 - only to stop
            await asyncio.sleep(0.1)
        self.stopped.set()

    # Control

    def _verbs(self) -> dict[str, Verb]:
        return {
            "ping": self._ping,
            "calls": self._calls,
            "hangup": self._hang_up,
            "trace": self._trace,
            "registrations": self._registrations,
            "unregister": self._unregister,
            "remove_registration": self._remove_registration,
            "metrics": self._metrics,
            "drain": self._start_draining,
            "explain": self._explain,
            "gateways": self._gateways,
            "carrier_registrations": self._list_carrier_registrations,
            **BanVerbs(lambda: self._bans).verbs(),
            **MediaVerbs(lambda: self._driver).verbs(),
        }

    def _ping(self, _: Message) -> Message:
        return {
            "worker": self._name,
            "instance": self._instance,
            "started_at": self._started_at,
            "revision": self._snapshots.current.revision,
            "calls": len(self._driver.calls),
            "draining": self._driver.is_draining,
            "live_up": self._live.is_up,
            "journal_waiting": self._journal.waiting,
            "refusals_waiting": self._driver.refusals.waiting,
            "journal_limit": self._journal.limit,
            "ban_path": self._bans.path,
            "bans": len(self._bans.bans),
            "engines": self._driver.media.engines_up if self._driver.media is not None else {},
        }

    def _calls(self, request: Message) -> Message:
        wanted, limit = request.get("account_ids"), min(int(request.get("limit") or 100), CALLS_LIMIT)
        calls = list(self._driver.calls.values())
        if (call_id := request.get("call_id")) is not None:
            calls = [call for call in calls if call.call_id == call_id]
        if wanted is not None:
            ids = set(wanted)
            calls = [call for call in calls if not ids.isdisjoint(call.record.account_chain)]
        # Calls are kept in the order in which they came.
        return {"total": len(calls), "calls": [call.to_live() for call in calls[:limit]]}

    def _hang_up(self, request: Message) -> Message:
        call_id, account_id = request.get("call_id"), request.get("account_id")
        if (call_id is None) == (account_id is None):
            raise ControlError("hangup takes either call_id or account_id")
        return {"ended": self._driver.hang_up(call_id, account_id, "HANGUP_BY_OPERATOR")}

    def _trace(self, request: Message) -> Message:
        return {"trace": self._driver.ladders.find(str(request.get("name") or ""))}

    async def _registrations(self, request: Message) -> Message:
        return await self._registrar.registrations(self._snapshots.current, Wanted.read(request, REGISTRATIONS_LIMIT))

    async def _remove_registration(self, request: Message) -> Message:
        removed: asyncio.Future[int | StoreAway] = asyncio.get_running_loop().create_future()
        self._registrar.remove(int(request["sip_user_id"]), str(request["contact"]), removed.set_result)
        self._live.flush()
        if isinstance(answer := await removed, StoreAway):
            raise ControlError(f"registration cannot be removed: {answer}")
        return {"removed": answer}

    def _unregister(self, request: Message) -> Message:
        return {"removed": self._registrar.forget(int(request["sip_user_id"]))}

    def _start_draining(self, request: Message) -> Message:
        if not self._driver.is_draining:
            self._driver.is_draining = True
            spawn(self._drain(float(request.get("seconds") or 0.0)), "drain")
        return {"calls": len(self._driver.calls)}

    def _list_carrier_registrations(self, _: Message) -> Message:
        return {"worker": self._name, "registrations": self._carrier_registrations.to_rows()}

    def _gateways(self, _: Message) -> Message:
        down = {str(gateway): seconds for gateway, seconds in self._driver.health.down().items()}
        return {"down": down, "servers": self._locator.servers(), "sessions": self._admission.taken_of("g")}

    def _explain(self, request: Message) -> Message:
        try:
            question = Question.read(request)
            answer = explain(question, self._snapshots.current, datetime.now(UTC), self._driver)
        except InvalidQuestion as error:
            raise ControlError(str(error)) from error
        decision = answer["decision"]
        decision["sip_status"], decision["q850_cause"] = _sip_answer(decision["code"], decision["object"])
        return {"worker": self._name, "draining": self._driver.is_draining, **answer}

    def _metrics(self, _: Message) -> Message:
        driver, transactions = self._driver, self._endpoint.transactions
        samples: list[Sample] = [
            ("softswitch_calls", {}, len(driver.calls)),
            ("softswitch_calls_received_total", {}, driver.counts["received"]),
            ("softswitch_registrations", {}, self._registrar.count),
            ("softswitch_nat_keep_alives_total", {}, self._keep_alive.sent),
            ("softswitch_subscriptions", {}, self._subscriptions.count),
            ("softswitch_transactions", {}, transactions.count),
            ("softswitch_dialogs", {}, driver.dialogs),
            ("softswitch_timers", {}, self._endpoint.wheel.count),
            ("softswitch_sip_malformed_total", {}, transactions.malformed),
            ("softswitch_sip_retransmitted_total", {}, transactions.retransmitted),
            ("softswitch_sip_banned_total", {}, self._endpoint.banned),
            ("softswitch_bans", {}, len(self._bans.bans)),
            ("softswitch_live_up", {}, float(self._live.is_up)),
            ("softswitch_live_operations_total", {}, self._live.operations),
            ("softswitch_sessions_taken", {}, self._admission.taken),
            ("softswitch_snapshot_revision", {}, self._snapshots.current.revision),
            ("softswitch_journal_bytes", {}, self._journal.size()),
            ("softswitch_journal_waiting_bytes", {}, self._journal.waiting),
            ("softswitch_traces_total", {}, driver.ladders.written),
            ("softswitch_traces_dropped_total", {}, driver.ladders.dropped),
            ("softswitch_hep_sent_total", {}, self._hep.sent if self._hep else 0),
            ("softswitch_hep_dropped_total", {}, self._hep.dropped if self._hep else 0),
            ("softswitch_dns_questions_total", {}, self._locator.asked),
            ("softswitch_dns_failures_total", {}, self._locator.unanswered),
            ("softswitch_calls_anchored", {}, driver.media.calls if driver.media else 0),
            *process_samples(),
        ]
        if driver.media is not None:
            for name, is_up in driver.media.engines_up.items():
                samples.append(("softswitch_media_engine_up", {"engine": name}, float(is_up)))
        for code, count in driver.counts.items():
            if code != "received":
                samples.append(("softswitch_attempts_total", {"code": code}, count))
        return {"samples": samples}


def _sip_answer(code: str, object_: str) -> tuple[int | None, int | None]:
    """SIP status and Q.850 cause of a decision; None: there is none."""
    if not code:
        return None, None
    if code == AUTHENTICATE:
        return 407, None
    refused = refusal(code, object_)
    return refused.status, refused.cause


def _quieten_garbage_collector() -> None:
    # What lives now lives for good; calls and transactions are freed by their counts. So circles come from rare faults
    # alone, and a look for them, which holds all calls up for as long as there are objects, can wait for a million.
    gc.collect()
    gc.freeze()
    gc.set_threshold(1_000_000, 5, 5)
