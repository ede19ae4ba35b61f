"""The list of registrations that people see: narrowed, in order, a page at a time, without holding calls up."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from b2bua.policy.accounts import Device
from b2bua.policy.snapshot import Snapshot
from b2bua.registrar.bindings import Binding, source_of

Place = tuple[str, str]
"""Name and contact, by which the list is in order."""

_AT_ONCE: Final = 200
"""Registrations that are looked at before others have their turn: to make a SIP user of its row takes 10 to 20 µs."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What part of the list is asked for."""

    account_ids: frozenset[int] | None = None
    """Only SIP users of these accounts and of those below them; None: all."""
    search: str = ""
    """Only what has this in its name, account, contact, source or software, whatever the case."""
    after: Place | None = None
    before: Place | None = None
    """The end of the list before this place, in place of its beginning."""
    limit: int = 100

    @classmethod
    def read(cls, request: dict[str, Any], most: int) -> "Wanted":
        """Take it from a request of the control interface."""
        ids, places = request.get("account_ids"), [request.get(name) for name in ("after", "before")]
        after, before = ((str(place[0]), str(place[1])) if place else None for place in places)
        return cls(
            None if ids is None else frozenset(ids),
            str(request.get("search") or "").casefold(),
            after,
            before,
            min(int(request.get("limit") or 100), most),
        )


async def list_registrations(
    bindings: Sequence[tuple[int, Binding]],
    snapshot: Snapshot,
    wanted: Wanted,
    describe: Callable[[int, Binding], dict[str, Any]],
) -> dict[str, Any]:
    """How many there are, and those that are wanted, as the control interface shows them.

    Args:
        bindings: All, with their SIP users' ids.
        snapshot: The configuration, for names.
        wanted: Which.
        describe: What else is known of one.
    """
    chosen: list[tuple[Device, Binding]] = []
    for start in range(0, len(bindings), _AT_ONCE):
        chosen += _chosen(bindings[start : start + _AT_ONCE], snapshot, wanted)
        await asyncio.sleep(0)
    chosen.sort(key=_place)
    page = [
        pair
        for pair in chosen
        if (wanted.after is None or _place(pair) > wanted.after)
        and (wanted.before is None or _place(pair) < wanted.before)
    ]
    page = page[: wanted.limit] if wanted.before is None else page[-wanted.limit :]
    rows = [_to_live(user, binding) | describe(user.id, binding) for user, binding in page]
    return {"total": len(chosen), "registrations": rows}


def _chosen(
    bindings: Iterable[tuple[int, Binding]], snapshot: Snapshot, wanted: Wanted
) -> Iterable[tuple[Device, Binding]]:
    ids = wanted.account_ids
    for sip_user_id, binding in bindings:
        user = snapshot.users.get_by_id(sip_user_id)
        if user is None or (ids is not None and all(account.id not in ids for account in user.account.chain)):
            continue
        if not wanted.search or _matches(user, binding, wanted.search):
            yield user, binding


def _matches(user: Device, binding: Binding, search: str) -> bool:
    texts = (user.username, user.account.code, binding.contact, source_of(binding), binding.user_agent)
    return any(search in text.casefold() for text in texts)


def _place(pair: tuple[Device, Binding]) -> Place:
    return pair[0].username, pair[1].contact


def _to_live(user: Device, binding: Binding) -> dict[str, Any]:
    return {
        "username": user.username,
        "sip_user_id": user.id,
        "account": user.account.code,
        "account_id": user.account.id,
        "contact": binding.contact,
        "source": source_of(binding),
        "transport": binding.transport,
        "q": binding.q,
        "user_agent": binding.user_agent,
        "path": list(binding.path),
        "behind_nat": binding.is_behind_nat,
        "registered_at": binding.registered_at,
        "expires_at": binding.expires_at,
        "worker": binding.worker_name,
    }
