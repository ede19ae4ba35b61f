"""Who is banned, for all workers: failures are counted and bans are kept in Valkey, and every worker knows them all.

Bans reach a worker's memory by a look at a version number every half second; only what changed is sent. A worker that
starts, or whose connection was lost, loads all. Nothing here is awaited where messages are handled.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import hiredis
import structlog

from b2bua.ban import store
from b2bua.ban.bans import BanList
from b2bua.ban.firewall import USER_SPACE, Firewall
from b2bua.live.connection import Callback, LiveConnection, Reply, StoreAway
from b2bua.policy.devices import normalise_address
from conf.settings import BanSettings

log = structlog.get_logger()

LOOK: Final = 0.5
"""Seconds between two looks at what has changed."""
_MISSED: Final = 30.0
"""After so long without a look everything is loaded: the store tells of lifted bans for a minute only."""
_SAME: Final = 1.0
"""Two ends of a ban that differ by less are one end, told twice."""

FAILURES: Final = "failed authentications"
SCANNER: Final = "scanner"


class BanService:
    """The bans, for one worker.

    Args:
        settings: Section [ban].
        name: Who bans, for people: the worker's name.
        is_exempt: Whether a normalised address has a device, a gateway or a live registration; such are never banned.
        firewall: Drops in the kernel; None: only in user space.
    """

    def __init__(
        self, settings: BanSettings, name: str, is_exempt: Callable[[str], bool], firewall: Firewall | None = None
    ) -> None:
        self._settings = settings
        self._name = name
        self._is_exempt = is_exempt
        self._firewall = firewall
        self._now = asyncio.get_running_loop().time
        self._connection: LiveConnection | None = None
        self._version = 0
        self._is_asking = False
        self._heard_at = 0.0
        self._unsent: dict[str, str] = {}
        """Bans that the store has not heard of, and why they are."""
        self._loaded: set[str] | None = None
        """What is known to be banned, while all bans are being loaded."""
        self.bans = BanList()
        self.is_banned: Callable[[str, float], bool] = self.bans.is_banned
        """Whether to drop what an address sends, at a time of the event loop's clock."""

    @property
    def path(self) -> str:
        """Where banned sources are dropped: kernel or user space."""
        return USER_SPACE if self._firewall is None else self._firewall.path

    # What happens

    def failed(self, address: str, username: str) -> None:
        """Count a wrong answer to a nonce that we sent to this address; one too many bans it.

        From an exempt address only that user is refused, for as long.
        """
        settings = self._settings
        address = normalise_address(address)
        if not settings.failures:
            return
        if self._is_exempt(address):
            address = _user_at(username, address)

        def counted(reply: Reply) -> None:
            if isinstance(reply, int) and reply:
                log.warning("source is banned", address=address, reason=FAILURES, seconds=reply / 1000)
                self._take(address, reply / 1000)
            else:
                _note_refusal(reply)

        numbers = (settings.failures, settings.window, settings.time)
        self._execute(store.failed(address, *numbers, self._name, FAILURES), counted)

    def is_refused(self, address: str, username: str) -> bool:
        """Whether a user is refused at an address that cannot be banned."""
        return self.bans.is_banned(_user_at(username, normalise_address(address)), self._now())

    def scanner_seen(self, address: str) -> bool:
        """A known scanner shows itself; returns whether its message is to be dropped."""
        return self._settings.scanners and self.ban(address, self._settings.time, SCANNER)

    def ban(self, address: str, seconds: float, reason: str) -> bool:
        """Ban an address, here at once and everywhere within a second; returns False if it is exempt."""
        address = normalise_address(address)
        if self._is_exempt(address):
            return False
        log.warning("source is banned", address=address, reason=reason, seconds=seconds)
        self._take(address, seconds)
        self._tell(address, seconds, reason, self._execute)
        return True

    def unban(self, address: str) -> None:
        """Lift a ban, here at once and everywhere within a second."""
        address = normalise_address(address)
        self._drop(address)
        self._unsent.pop(address, None)
        self._execute(store.unban(address), _note_refusal)

    # By hand

    async def details(self, search: str, limit: int) -> tuple[int, list[store.Ban]]:
        """How many banned addresses have a text in them, and the bans that last longest, the latest first.

        Raises:
            StoreAway, hiredis.ReplyError: the store does not say why they are.
        """
        total, addresses = self.bans.latest(search, limit)
        if not addresses:
            return 0, []
        answers = await self._call(store.details(addresses))
        pairs = zip(addresses, answers, strict=True)
        found = [store.Ban.read(address, detail) for address, detail in pairs if detail is not None]
        return total, sorted(found, key=lambda ban: (-ban.since.timestamp(), ban.address))

    async def ban_by_hand(self, address: str, seconds: float, by: str, reason: str) -> bool:
        """Ban a normalised address everywhere; returns False if it is exempt.

        Raises:
            StoreAway, hiredis.ReplyError: the store does not know of it.
        """
        if self._is_exempt(address):
            return False
        await self._call(store.ban(address, seconds, by, reason))
        log.warning("source is banned", address=address, reason=reason, seconds=seconds, by=by)
        self._take(address, seconds)
        return True

    async def lift_by_hand(self, address: str) -> bool:
        """Lift a ban everywhere; returns whether there was one.

        Raises:
            StoreAway, hiredis.ReplyError: the store does not know of it.
        """
        was_banned = await self._call(store.unban(address))
        self._drop(address)
        self._unsent.pop(address, None)
        return bool(was_banned)

    async def _call(self, command: store.Command) -> Reply:
        if self._connection is None or not self._connection.is_up:
            raise StoreAway("live store is away")
        return await self._connection.call(*command)

    def lift_exempt(self) -> None:
        """Lift the bans of addresses that are exempt by now; call it when the configuration has changed."""
        for address in self.bans.addresses():
            if self._is_exempt(address):
                self._lift(address)

    def _lift(self, address: str) -> None:
        log.warning("ban is lifted: the source has a device, a gateway or a registration", address=address)
        self.unban(address)

    # What is known here

    def _take(self, address: str, seconds: float) -> None:
        if self._loaded is not None:
            self._loaded.add(address)
        until = self._now() + seconds
        if abs(self.bans.ends_at(address) - until) < _SAME:
            return
        crowded_out = self.bans.add(address, until)
        self._change_firewall(address, seconds)
        if crowded_out is not None:
            self._change_firewall(crowded_out, None)

    def _drop(self, address: str) -> None:
        if self.bans.remove(address):
            self._change_firewall(address, None)

    def _change_firewall(self, address: str, seconds: float | None) -> None:
        if self._firewall is not None and "@" not in address:
            self._firewall.change(address, seconds)

    # The store

    def attach(self, connection: LiveConnection) -> None:
        """Use a connection that has just been made: tell what it was not told, then load all."""
        self._connection = connection
        unsent, self._unsent = self._unsent, {}
        for address, reason in unsent.items():
            seconds = self.bans.ends_at(address) - self._now()
            if seconds > 0:
                self._tell(address, seconds, reason, connection.send)
        self._load()
        self._ask(connection.send)

    async def run(self) -> None:
        """Look at what has changed, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            self.look()
            if self._connection is not None:
                self._connection.flush()

    def look(self) -> None:
        """Ask what has changed, unless an answer is awaited."""
        now = self._now()
        self.bans.purge(now)
        if self._connection is None or not self._connection.is_up or self._is_asking:
            return
        if now - self._heard_at > _MISSED:
            self._load()
        self._ask(self._connection.execute)

    def _load(self) -> None:
        self._version, self._loaded = 0, set()

    def _ask(self, send: Callable[[store.Command, Callback], None]) -> None:
        self._is_asking = True
        send(store.changes(self._version), self._changed)

    def _changed(self, reply: Reply) -> None:
        self._is_asking = False
        if isinstance(reply, Exception):
            _note_refusal(reply)
            return
        changes = store.Changes.read(reply)
        self._heard_at = self._now()
        if changes.version < self._version:
            # The store has lost its data.
            self._load()
        else:
            self._version = changes.version
            for address, seconds in changes.seconds:
                self._apply(address, seconds)
            if not changes.is_more:
                self._end_loading()
                return
        if self._connection is not None:
            self._ask(self._connection.send)

    def _apply(self, address: str, seconds: float) -> None:
        if seconds <= 0:
            self._drop(address)
        elif self._is_exempt(address):
            self._lift(address)
        else:
            self._take(address, seconds)

    def _end_loading(self) -> None:
        if self._loaded is None:
            return
        known, self._loaded = self._loaded | self._unsent.keys(), None
        for address in self.bans.addresses():
            if address not in known:
                self._drop(address)

    def _tell(self, address: str, seconds: float, reason: str, send: Callable[[store.Command, Callback], None]) -> None:
        def told(reply: Reply) -> None:
            if isinstance(reply, StoreAway) and self.bans.ends_at(address):
                self._unsent[address] = reason
            _note_refusal(reply)

        send(store.ban(address, seconds, self._name, reason), told)

    def _execute(self, command: store.Command, callback: Callback) -> None:
        if self._connection is None:
            callback(StoreAway("live store is away"))
        else:
            self._connection.execute(command, callback)


def _user_at(username: str, address: str) -> str:
    """What stands in the place of an address where one user is refused at it."""
    return f"{username[:64]}@{address}"


def _note_refusal(reply: Reply) -> None:
    """An answer that changes nothing; what the store refuses is a fault of ours."""
    if isinstance(reply, hiredis.ReplyError):
        log.error("live store refuses a command", error=str(reply))
