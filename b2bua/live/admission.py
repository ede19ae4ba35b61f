"""Take and give back sessions and calls per second, atomically over a whole chain (docs/behaviour.md §2, 3, 14, 16).

Sessions are counted per worker instance: `sessions:{a:1}:a:7` is a hash of instance -> how many calls that instance has
up. A level's number is the sum. Since only its own instance writes a field, a worker can put its numbers back after the
store lost them, and the fields of a dead instance can be dropped without a trace, and never twice.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Final

import hiredis
import structlog

from b2bua.live.connection import LiveConnection, Reply, StoreAway
from b2bua.policy.limits import Chain, Level
from rating.funds import posted_key, worker_key

log = structlog.get_logger()


class Refusal:
    """Why a chain was not admitted."""

    __slots__ = ("level", "of_cps")

    def __init__(self, level: Level, of_cps: bool) -> None:
        self.level = level
        self.of_cps = of_cps
        """True: calls per second; False: sessions."""


class Shortage:
    """Funds do not suffice for what was to be held."""

    __slots__ = ("account", "available")

    def __init__(self, account: int, available: list[int | None]) -> None:
        self.account = account
        """Index of the first account of the chain whose funds fall short."""
        self.available = available
        """What each account may spend, in micros; None: the store does not know yet."""


Outcome = Refusal | Shortage | StoreAway | None
"""None: admitted."""

Answered = Callable[[Outcome], None]

_RELOAD: Final = "NOSCRIPT"

BEAT: Final = 1.5
"""Seconds between two life signs of a run."""

LEASE: Final = 6
"""Seconds without one after which a run's sessions are given back."""

_BEATS: Final = "workers"
"""Hash of run -> time of its last life sign, by the store's clock."""


class Admission:
    """The admission scripts, for one worker instance.

    Args:
        instance: Name of this run of this worker, never used before: `sip-1:0192…`.
        admit_when_away: Whether calls pass while the live store is away, uncounted by anybody but this worker.
    """

    def __init__(self, instance: str, *, admit_when_away: bool = False) -> None:
        self.instance = instance
        self._admit_when_away = admit_when_away
        self._connection: LiveConnection | None = None
        self._taken: dict[str, int] = {}
        self._held: dict[str, int] = {}
        self._owed: dict[str, int] = {}
        self._has_lease = False
        self._unposted: deque[tuple[Position, tuple[tuple[str, int], ...]]] = deque()
        self._sources = {
            "admit": _source("funds") + _source("admit"),
            "admit_carrier": _source("admit_carrier"),
            "extend": _source("funds") + _source("extend"),
            "release": _source("release"),
            "posted": _source("posted"),
        }
        # A script is named by the SHA-1 of its text: that is the store's way, and no matter of security.
        self._scripts = {
            name: hashlib.sha1(source, usedforsecurity=False).hexdigest() for name, source in self._sources.items()
        }

    @property
    def name(self) -> str:
        """The worker's name."""
        return self.instance.partition(":")[0]

    def attach(self, connection: LiveConnection) -> None:
        """Use a connection that has just been made: load the scripts, then put back what this instance has taken."""
        self._connection = connection
        for source in self._sources.values():
            connection.send(("SCRIPT", "LOAD", source), _ignore)
        self._put_back(connection, self._taken, self.instance)
        self._put_back(connection, self._held, f"h:{self.instance}")
        for key, amount in self._owed.items():
            # Some of it may have been posted while the store was away.
            connection.send(self._drop_debt(key, self.instance, amount), _ignore)
        connection.send(("SET", worker_key(self.name), self.instance), _ignore)

    def _put_back(self, connection: LiveConnection, amounts: dict[str, int], field: str) -> None:
        for key, amount in amounts.items():
            if amount:
                connection.send(("HSET", key, field, amount), _ignore)
            else:
                connection.send(("HDEL", key, field), _ignore)

    @property
    def taken(self) -> int:
        """Sessions that this instance holds, summed over all keys."""
        return sum(self._taken.values())

    def taken_of(self, kind: str) -> dict[str, int]:
        """Sessions that this instance holds of each thing of a kind, such as `g` for gateways, by the thing's id."""
        things = ((key.rpartition("}:")[2], count) for key, count in self._taken.items() if count)
        return {name.removeprefix(f"{kind}:"): count for name, count in things if name.startswith(f"{kind}:")}

    # Sessions, calls per second and the first slice of funds

    def count(self, chain: Chain, answered: Answered) -> None:
        """Take a call per second on every level, or nothing: for an INVITE that is refused anyway."""
        self._admit(chain, (), ("1", "0"), answered)

    def admit(self, chain: Chain, holds: Sequence[int], answered: Answered, *, is_counted: bool = False) -> None:
        """Take a session and a call per second on every level and hold funds of every account, or nothing.

        Args:
            chain: The levels.
            holds: Micros to hold of each account, in the order of the chain.
            answered: Gets the outcome.
            is_counted: Whether the call per second was taken before.
        """
        self._admit(chain, holds, ("0" if is_counted else "1", "1"), answered)

    def _admit(self, chain: Chain, holds: Sequence[int], flags: tuple[str, str], answered: Answered) -> None:
        takes = flags[1] == "1"
        funds_keys = chain.funds_keys if takes else ()

        def done(reply: Reply) -> None:
            if reply == 0 or (self._admit_when_away and isinstance(reply, Exception)):
                if takes:
                    self._count(chain.sessions_keys, 1)
                    self._hold(funds_keys, holds)
                answered(None)
            else:
                answered(self._outcome(chain, reply))

        if takes:
            # Known from now on, so that what is taken by a command whose answer is lost is taken back.
            self._count(chain.sessions_keys, 0)
            self._hold(funds_keys, [0] * len(funds_keys))
        keys = chain.keys + funds_keys
        levels = len(chain.levels)
        head = ("EVALSHA", self._scripts["admit"], len(keys), *keys, self.instance, levels, *flags)
        self._execute((*head, *chain.limits, *(holds if takes else ())), done)

    def admit_carrier(self, chain: Chain, answered: Answered) -> None:
        """Take a session and a call per second of a carrier and its gateway, or nothing."""

        def done(reply: Reply) -> None:
            if reply == 0 or (self._admit_when_away and isinstance(reply, Exception)):
                self._count(chain.sessions_keys, 1)
                answered(None)
            else:
                answered(self._outcome(chain, reply))

        self._count(chain.sessions_keys, 0)
        head = ("EVALSHA", self._scripts["admit_carrier"], len(chain.keys), *chain.keys, self.instance)
        self._execute((*head, *chain.limits), done)

    def extend(self, chain: Chain, holds: Sequence[int], answered: Answered) -> None:
        """Hold more of every account's funds, or nothing."""
        keys = chain.funds_keys

        def done(reply: Reply) -> None:
            if reply == 0:
                self._hold(keys, holds)
                answered(None)
            else:
                answered(self._outcome(chain, reply))

        self._execute(("EVALSHA", self._scripts["extend"], len(keys), *keys, self.instance, *holds), done)

    def _outcome(self, chain: Chain, reply: Reply) -> Outcome:
        if isinstance(reply, int):
            return Refusal(chain.levels[abs(reply) - 1], reply > 0)
        if isinstance(reply, list):
            available = [None if amount is None else int(amount) for amount in reply[1:]]
            # Lua ends a list at its first nil.
            available += [None] * (len(chain.funds_keys) - len(available))
            return Shortage(int(reply[0]) - 1, available)
        if str(reply).startswith(_RELOAD) and self._connection is not None:
            for source in self._sources.values():
                self._connection.execute(("SCRIPT", "LOAD", source), _ignore)
        return reply if isinstance(reply, StoreAway) else StoreAway(str(reply))

    def release(self, chain: Chain, holds: Sequence[int] = (), owed: Sequence[int] = ()) -> None:
        """Give back one session on every level and what is held; keep what the call owes until it is posted.

        What the store does not hear of is made up for on reconnection.

        Args:
            chain: The levels.
            holds: Micros that were held of each account; empty: none of any.
            owed: Micros that each account owes; empty: nothing.
        """
        self._count(chain.sessions_keys, -1)
        self._settle(chain.sessions_keys, chain.funds_keys if holds else (), holds, owed)

    def release_funds(self, chain: Chain, holds: Sequence[int]) -> None:
        """Give back funds alone: those of an extension that came after the end of its call."""
        self._settle((), chain.funds_keys, holds, ())

    def _settle(
        self, sessions_keys: tuple[str, ...], funds_keys: tuple[str, ...], holds: Sequence[int], owed: Sequence[int]
    ) -> None:
        owes = owed or (0,) * len(funds_keys)
        for key, held, owing in zip(funds_keys, holds, owes, strict=True):
            self._held[key] = self._held.get(key, 0) - held
            self._owed[key] = self._owed.get(key, 0) + owing
        keys = sessions_keys + funds_keys
        amounts = (
            [part for held, owing in zip(holds, owes, strict=True) for part in (-held, owing)] if funds_keys else []
        )
        head = ("EVALSHA", self._scripts["release"], len(keys), *keys, self.instance, len(sessions_keys))
        self._execute((*head, *amounts), _ignore)

    # What is owed and not posted yet

    def note_unposted(self, position: "Position", keys: Sequence[str], owed: Sequence[int]) -> None:
        """A record with these debits stands in the journal before a position (segment, offset)."""
        self._unposted.append((position, tuple(zip(keys, owed, strict=True))))

    def owe(self, key: str, amount: int) -> None:
        """Take over a debit that a predecessor wrote into its journal."""
        self._owed[key] = self._owed.get(key, 0) + amount
        self._execute(("HINCRBY", key, f"p:{self.instance}", amount), _ignore)

    def posted(self, position: "Position") -> None:
        """The journal is posted up to a position, and the store has the figures of its accounts that say so."""
        touched: set[str] = set()
        while self._unposted and self._unposted[0][0] <= position:
            for key, amount in self._unposted.popleft()[1]:
                self._owed[key] -= amount
                touched.add(key)
        for key in touched:
            # Absolute, and after all that was sent before on the same connection.
            self._execute(self._drop_debt(key, self.instance, self._owed[key]), _ignore)

    def _drop_debt(self, key: str | bytes, run: str, left: int) -> tuple[object, ...]:
        return "EVALSHA", self._scripts["posted"], 1, key, run, left

    async def posted_position(self) -> "Position | None":
        """How far this worker's journal is posted, by the figures that the store has; None: it does not know.

        Raises:
            StoreAway, hiredis.ReplyError: the store does not answer.
        """
        said = await self._call("GET", posted_key(self.name))
        if said is None:
            return None
        segment, _, offset = said.decode().partition(":")
        return int(segment), int(offset)

    def _execute(self, command: tuple[object, ...], callback: Callable[[Reply], None]) -> None:
        if self._connection is None:
            callback(StoreAway("live store is away"))
        else:
            self._connection.execute(command, callback)

    def _count(self, keys: tuple[str, ...], step: int) -> None:
        # A key that has come to zero stays, so that a release that the store never heard is made up for.
        taken = self._taken
        for key in keys:
            taken[key] = taken.get(key, 0) + step

    def _hold(self, keys: Sequence[str], amounts: Sequence[int]) -> None:
        for key, amount in zip(keys, amounts, strict=True):
            self._held[key] = self._held.get(key, 0) + amount

    async def keep_lease(self) -> int:
        """Say that this run is alive, and give back the sessions of runs that have not said so for long.

        Called every `BEAT` seconds. What a dead run held and owed of funds stays until its journal has been read. A run
        that was given up by mistake, since it stood still, puts back its numbers: nothing is counted twice.

        Returns:
            How many runs were found dead.

        Raises:
            StoreAway, hiredis.ReplyError: the store does not answer.
        """
        seconds, _ = await self._call("TIME")
        now = int(seconds)
        beats = await self._call("HGETALL", _BEATS)
        known = {run.decode(): int(at) for run, at in zip(beats[::2], beats[1::2], strict=True)}
        if self._has_lease and self.instance not in known and self._connection is not None:
            log.warning("this run was taken for dead; it puts back what it holds", instance=self.instance)
            self._put_back(self._connection, self._taken, self.instance)
        await self._call("HSET", _BEATS, self.instance, now)
        self._has_lease = True
        dead = [run for run, at in known.items() if run != self.instance and now - at > LEASE]
        for run in dead:
            dropped = await self._drop_everywhere("sessions:*", run.__eq__)
            await self._call("HDEL", _BEATS, run)
            log.warning("sessions of a dead run given back", run=run, counters=dropped)
        return len(dead)

    async def give_up_lease(self) -> None:
        """Say goodbye."""
        await self._call("HDEL", _BEATS, self.instance)

    async def drop_predecessors(self) -> int:
        """Drop what earlier instances of this worker's name had taken; return how many fields that were.

        The caller holds the lock of the worker's name, so none of them can be alive.
        """
        prefix, own = f":{self.name}:", f":{self.instance}"

        def is_dead(field: str) -> bool:
            # `sip-1:0192…` of sessions, `h:sip-1:0192…` and `p:sip-1:0192…` of funds.
            return prefix in f":{field}" and not f":{field}".endswith(own)

        return await self._drop_everywhere("sessions:*", is_dead) + await self._drop_everywhere("funds:*", is_dead)

    async def _drop_everywhere(self, pattern: str, is_dead: Callable[[str], bool]) -> int:
        dropped, cursor = 0, b"0"
        while True:
            cursor, keys = await self._call("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            dropped += sum(await asyncio.gather(*(self._drop(key, is_dead) for key in keys)))
            if cursor == b"0":
                return dropped

    async def _drop(self, key: bytes, is_dead: Callable[[str], bool]) -> int:
        fields = [field.decode() for field in await self._call("HKEYS", key)]
        dead = [field for field in fields if is_dead(field)]
        for field in dead:
            if field.startswith("p:"):
                await self._call(*self._drop_debt(key, field[2:], 0))
            else:
                await self._call("HDEL", key, field)
        return len(dead)

    async def _call(self, *command: object) -> Reply:
        if self._connection is None:
            raise StoreAway("live store is away")
        return await self._connection.call(*command)


Position = tuple[int, int]
"""Segment and offset of a journal."""


def _source(name: str) -> bytes:
    return resources.files("b2bua.live").joinpath(f"scripts/{name}.lua").read_bytes()


def _ignore(reply: Reply) -> None:
    """An answer that changes nothing; what the store refuses is a fault of ours."""
    if isinstance(reply, hiredis.ReplyError):
        log.error("live store refuses a command", error=str(reply))
