"""The registrar: answers REGISTER and knows where SIP users are (RFC 3261 §10.3, docs/behaviour.md §1.3)."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final, Protocol

import hiredis
import structlog

from b2bua.live.connection import StoreAway
from b2bua.policy.accounts import Device
from b2bua.policy.devices import network_contains
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar.bindings import (
    LEAST_EXPIRES,
    Binding,
    Registration,
    Result,
    apply,
    by_preference,
    format_contacts,
    live,
    read_registration,
)
from b2bua.registrar.listing import Wanted, list_registrations
from b2bua.registrar.mirror import Mirror
from b2bua.registrar.store import BindingStore, read_bindings
from b2bua.sip.address import Address
from b2bua.sip.errors import ParseError
from b2bua.sip.flow import Flow
from b2bua.sip.grammar import split_outside_quotes
from b2bua.sip.headers import Headers
from b2bua.sip.message import Request

log = structlog.get_logger()

EXTENSIONS: Final = frozenset({"path"})
"""Option tags that a REGISTER may require."""

Answer = Callable[[int, dict[str, str]], None]
"""Answers a request with a status and more headers, now or later."""

Found = Callable[[list[Binding] | StoreAway], None]

_ATTEMPTS: Final = 16
"""How often a change is tried while others change the same SIP user's bindings."""

_RETRY_AFTER: Final = "5"


class Follower(Protocol):
    """Who does something for registrations for as long as they live."""

    def bindings_changed(self, sip_user_id: int, bindings: Sequence[Binding]) -> None:
        """These are a SIP user's bindings now, wherever they came to."""

    def describe(self, sip_user_id: int, binding: Binding) -> dict[str, Any]:
        """What it does for one of them, for the control interface."""


@dataclass(slots=True)
class _Change:
    """A REGISTER that waits for the live store."""

    registration: Registration
    sip_user_id: int
    now: float
    answer: Answer
    attempts: int


class Registrar:
    """Registers SIP users; one in each worker.

    Args:
        store: Where bindings are kept.
        worker: This run of this worker: `sip-1:0192…`.
    """

    def __init__(self, store: BindingStore, worker: str) -> None:
        self._store = store
        self._worker = worker
        self._name = worker.partition(":")[0]
        self._mirror = Mirror()
        self._follower: Follower | None = None

    def follow(self, follower: Follower) -> None:
        """Tell somebody of bindings that are learnt from now on."""
        self._follower = follower
        self._mirror.changed = follower.bindings_changed

    async def load(self) -> None:
        """Learn of the registrations that others took; what is unknown until then has to prove who it is."""
        try:
            await self._store.scan(self._learn)
        except (StoreAway, hiredis.ReplyError) as error:
            log.warning("registrations cannot be read", error=str(error))
            return
        log.info("registrations read", contacts=self._mirror.count)

    # REGISTER

    def handle(self, request: Request, flow: Flow, source: str, device: Device, now: float, answer: Answer) -> None:
        """Handle a REGISTER of a SIP user that has proved its secret.

        Args:
            request: The REGISTER; what it requires has been looked at.
            flow: Where it came from.
            source: Address of the user agent, which is not the flow's where a proxy of ours is between.
            device: The SIP user.
            now: Seconds since 1970.
            answer: Called once, now or later.
        """
        try:
            refusal = _refusal(request, source, device)
            registration = read_registration(request, flow, source, self._worker)
            supported = _option_tags(request.headers, "supported")
        except ParseError:
            answer(400, {})
            return
        if refusal:
            log.info("registration refused", user=device.username, source=flow.address, reason=refusal)
            answer(403, {})
        elif registration.path and "path" not in supported:
            # RFC 3261 §8.2.4: what the user agent does not know may not stand in its answer.
            answer(421, {"require": "path"})
        else:
            change = _Change(registration, device.id, now, answer, _ATTEMPTS)
            self._store.read(device.id, lambda value: self._decide(change, value))

    def _decide(self, change: _Change, value: bytes | StoreAway) -> None:
        if isinstance(value, StoreAway) or not change.attempts:
            change.answer(503, {"retry-after": _RETRY_AFTER})
            return
        change.attempts -= 1
        result = apply(change.registration, read_bindings(value), change.now)
        if result.is_changed:
            self._store.replace(
                change.sip_user_id, value, result.bindings, lambda reply: self._written(change, result, reply)
            )
        else:
            self._finish(change, result)

    def _written(self, change: _Change, result: Result, reply: bytes | StoreAway | None) -> None:
        if reply is not None:
            self._decide(change, reply)  # away, or somebody else was quicker: look again
            return
        self._learn(change.sip_user_id, result.bindings)
        self._finish(change, result)

    def _finish(self, change: _Change, result: Result) -> None:
        headers: dict[str, str] = {}
        if result.status == 423:
            headers["min-expires"] = str(LEAST_EXPIRES)
        elif result.status == 200:
            if result.bindings:
                headers["contact"] = format_contacts(result.bindings, change.now)
            if change.registration.path:
                headers["path"] = ", ".join(change.registration.path)
            headers["date"] = formatdate(change.now, usegmt=True)
        change.answer(result.status, headers)

    # Who is registered

    def find(self, sip_user_id: int, answered: Found) -> None:
        """Find where a SIP user can be reached: its live bindings, the preferred ones first."""

        def read(value: bytes | StoreAway) -> None:
            if isinstance(value, StoreAway):
                answered(value)
                return
            bindings = live(read_bindings(value), time.time())
            self._learn(sip_user_id, bindings)
            answered(by_preference(bindings))

        self._store.read(sip_user_id, read)

    def has_source(self, host: str, port: int | None = None) -> bool:
        """Whether a live registration came from an address, and from this port where it is given, as far as known."""
        return self._mirror.has_source(host, port, time.time())

    def forget(self, sip_user_id: int) -> int:
        """Somebody has removed a SIP user's bindings; returns how many were known."""
        before = self._mirror.count
        self._mirror.update(sip_user_id, (), time.time())
        return before - self._mirror.count

    def remove(
        self, sip_user_id: int, contact: str, answered: Callable[[int | StoreAway], None], attempts: int = _ATTEMPTS
    ) -> None:
        """Remove a contact of a SIP user, wherever it came to, and learn which others it has.

        Args:
            sip_user_id: Whose.
            contact: URI as it is listed.
            answered: Gets how many were removed, 0 or 1.
            attempts: How often it is tried while others change the same SIP user's bindings.
        """

        def read(value: bytes | StoreAway) -> None:
            if isinstance(value, StoreAway) or not attempts:
                answered(value if isinstance(value, StoreAway) else StoreAway("others change the registration"))
                return
            before = live(read_bindings(value), time.time())
            after = [binding for binding in before if binding.contact != contact]
            if len(after) == len(before):
                self._learn(sip_user_id, before)
                answered(0)
            else:
                self._store.replace(sip_user_id, value, after, lambda reply: replaced(after, reply))

        def replaced(after: list[Binding], reply: bytes | StoreAway | None) -> None:
            if reply is None:
                log.info("registration removed", sip_user_id=sip_user_id, contact=contact)
                self._learn(sip_user_id, after)
                answered(1)
            elif isinstance(reply, StoreAway):
                answered(reply)
            else:
                self.remove(sip_user_id, contact, answered, attempts - 1)  # somebody else was quicker: look again

        self._store.read(sip_user_id, read)

    @property
    def count(self) -> int:
        """Bindings that are known."""
        return self._mirror.count

    async def registrations(self, snapshot: Snapshot, wanted: Wanted) -> dict[str, Any]:
        """What came to this worker and lives, as the control interface shows it.

        Args:
            snapshot: The configuration, for names.
            wanted: Which of them.
        """
        ours = [pair for pair in self._mirror.bindings(time.time()) if pair[1].worker_name == self._name]
        return await list_registrations(ours, snapshot, wanted, self._describe)

    def _describe(self, sip_user_id: int, binding: Binding) -> dict[str, Any]:
        return self._follower.describe(sip_user_id, binding) if self._follower else {}

    def _learn(self, sip_user_id: int, bindings: list[Binding]) -> None:
        was_full = self._mirror.is_full
        self._mirror.update(sip_user_id, bindings, time.time())
        if self._mirror.is_full and not was_full:
            log.warning("too many registrations to remember", contacts=self._mirror.count)


def _refusal(request: Request, source: str, device: Device) -> str:
    """Why this SIP user may not register so (§10.3, steps 4 and 5), or an empty string."""
    if Address.parse(request.headers["to"][0]).uri.number != device.username:
        return "address of record of another user"
    return reason_to_refuse(device, source)


def reason_to_refuse(device: Device, source: str = "") -> str:
    """Why nothing is done for a SIP user at an address, where one is given; empty: it may have what it asks for."""
    if source and device.network and not network_contains(device.network, source):
        return "ADDRESS_NOT_ALLOWED"
    if device.status != "active":
        return "DEVICE_INACTIVE"
    blocked = [account.code for account in device.account.chain if account.status != "active"]
    return f"ACCOUNT_INACTIVE {blocked[0]}" if blocked else ""


def _option_tags(headers: Headers, name: str) -> set[str]:
    return {tag.lower() for value in headers.get(name, ()) for tag in split_outside_quotes(value, ",")}
