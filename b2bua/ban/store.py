"""Bans in Valkey: the commands, as tuples for any client, and what their answers say.

All keys lie in one slot of a cluster. Times are those of the store's clock, so that workers need not agree on one; they
are told how long a ban still lasts.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Final

import orjson

Command = tuple[str | bytes | int, ...]

KEYS: Final = ("{bans}:until", "{bans}:changed", "{bans}:detail", "{bans}:version")
PAGE: Final = 1000
"""Most addresses of one answer."""
LONGEST_REASON: Final = 200
LONGEST: Final = 10 * 365 * 86_400
"""Seconds that a ban may last."""


def _source(name: str) -> bytes:
    folder = resources.files("b2bua.ban").joinpath("scripts")
    return folder.joinpath("bans.lua").read_bytes() + folder.joinpath(f"{name}.lua").read_bytes()


# They run rarely enough to be sent in full, which spares the answer that a script is not known.
_BAN, _UNBAN, _FAILED, _CHANGES = (_source(name) for name in ("ban", "unban", "failed", "changes"))


def ban(address: str, seconds: float, by: str, reason: str) -> Command:
    """Ban an address; the answer is how many milliseconds."""
    return ("EVAL", _BAN, len(KEYS), *KEYS, address, round(seconds * 1000), by, _text(reason))


def unban(address: str) -> Command:
    """Lift a ban; the answer is 1, or 0 if there was none."""
    return ("EVAL", _UNBAN, len(KEYS) + 1, *KEYS, _failures(address), address)


def failed(address: str, failures: int, window: float, seconds: float, by: str, reason: str) -> Command:
    """Count a failure, and ban when it is the last of so many within a window; the answer is milliseconds or 0."""
    head = ("EVAL", _FAILED, len(KEYS) + 1, *KEYS, _failures(address), address)
    return (*head, failures, round(window * 1000), round(seconds * 1000), by, reason)


def changes(version: int, limit: int = PAGE) -> Command:
    """Ask what changed after a version; the answer is read by `Changes.read`."""
    return ("EVAL", _CHANGES, len(KEYS), *KEYS, version, limit)


LIST: Final[Command] = ("HGETALL", KEYS[2])
"""Ask for the details of all bans; also of some that have just ended."""


def details(addresses: list[str]) -> Command:
    """Ask for the details of some bans; each answer is read by `Ban.read`, or null where there is none."""
    return ("HMGET", KEYS[2], *addresses)


def _failures(address: str) -> str:
    return f"{{bans}}:failed:{address}"


def _text(reason: str) -> bytes:
    return reason[:LONGEST_REASON].encode("utf-8", "replace")


@dataclass(slots=True)
class Changes:
    """One answer to `changes`."""

    version: int
    is_more: bool
    seconds: list[tuple[str, float]]
    """Each address, and how long its ban still lasts; 0: there is none."""

    @classmethod
    def read(cls, reply: list[Any]) -> "Changes":
        """Read an answer."""
        version, is_more, *rest = reply
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return cls(int(version), bool(is_more), [(address.decode(), left / 1000) for address, left in pairs])


@dataclass(slots=True)
class Ban:
    """A ban as people see it."""

    address: str
    since: datetime
    until: datetime
    by: str
    reason: str

    @classmethod
    def read(cls, address: str, detail: str | bytes) -> "Ban":
        """Read what stands in the hash."""
        fields = orjson.loads(detail)
        since, until = (datetime.fromtimestamp(fields[name], UTC) for name in ("since", "until"))
        return cls(address, since, until, fields["by"], fields["reason"])
