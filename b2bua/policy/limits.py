"""What has limits, and the chains of them that a call must pass (docs/behaviour.md §2, 3, 14 and 16)."""

from typing import Final

NO_LIMIT: Final = -1


class Level:
    """One thing that has limits: a device, an account, a carrier or a gateway."""

    __slots__ = ("cps", "cps_key", "max_sessions", "name", "sessions_key")

    def __init__(self, tag: str, key: str, name: str, max_sessions: int | None, cps: int | None) -> None:
        self.sessions_key = f"sessions:{{{tag}}}:{key}"
        """The tag in braces keeps a chain's keys on one node of a cluster."""
        self.cps_key = f"cps:{{{tag}}}:{key}"
        self.name = name
        """How a refusal names it: `account CUST0007`."""
        self.max_sessions = NO_LIMIT if max_sessions is None else max_sessions
        self.cps = NO_LIMIT if cps is None else cps


class Chain:
    """The levels of one caller, or the carrier and gateway of one attempt; made with the snapshot, shared by calls."""

    __slots__ = ("funds_keys", "has_cps", "keys", "levels", "limits", "sessions_keys")

    def __init__(self, levels: list[Level], funds_keys: tuple[str, ...] = ()) -> None:
        self.levels = levels
        self.funds_keys = funds_keys
        """Where the live store keeps the funds of the accounts among the levels, the caller's own first."""
        self.keys = tuple(key for level in levels for key in (level.sessions_key, level.cps_key))
        self.limits = tuple(str(limit) for level in levels for limit in (level.max_sessions, level.cps))
        self.sessions_keys = tuple(level.sessions_key for level in levels)
        self.has_cps = any(level.cps != NO_LIMIT for level in levels)
