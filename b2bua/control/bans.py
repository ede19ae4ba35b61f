"""The verbs `bans`, `ban` and `unban` of a worker, which asks the live store for all workers."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import hiredis

from b2bua.ban.service import BanService
from b2bua.ban.source import InvalidSource, parse_source
from b2bua.ban.store import LONGEST
from b2bua.control.messages import BANS_LIMIT, ControlError, Message
from b2bua.control.server import Verb
from b2bua.live.connection import StoreAway

T = TypeVar("T")


class BanVerbs:
    """Answers from the bans of a worker.

    Args:
        bans: Gives them; the verbs are there before they are.
    """

    def __init__(self, bans: Callable[[], BanService]) -> None:
        self._bans = bans

    def verbs(self) -> dict[str, Verb]:
        """The verbs by their names."""
        return {"bans": self._list, "ban": self._ban, "unban": self._unban}

    async def _list(self, request: Message) -> Message:
        limit = max(1, min(int(request.get("limit") or 100), BANS_LIMIT))
        total, found = await _answered(self._bans().details(str(request.get("search") or ""), limit))
        rows = [
            {
                "address": ban.address,
                "since": ban.since.timestamp(),
                "until": ban.until.timestamp(),
                "by": ban.by,
                "reason": ban.reason,
            }
            for ban in found
        ]
        return {"total": total, "bans": rows}

    async def _ban(self, request: Message) -> Message:
        try:
            address = parse_source(str(request["address"]))
        except InvalidSource as error:
            raise ControlError(str(error)) from error
        seconds = float(request["seconds"])
        if not 1 <= seconds <= LONGEST:
            raise ControlError(f"a ban lasts 1 to {LONGEST} s")
        by, reason = str(request.get("by") or ""), str(request.get("reason") or "")
        if not await _answered(self._bans().ban_by_hand(address, seconds, by, reason)):
            raise ControlError(f"{address} has a device, a gateway or a registration: such a source is never banned")
        return {"address": address}

    async def _unban(self, request: Message) -> Message:
        return {"lifted": int(await _answered(self._bans().lift_by_hand(str(request["address"]))))}


async def _answered(answer: Awaitable[T]) -> T:
    try:
        return await answer
    except (StoreAway, hiredis.ReplyError) as error:
        raise ControlError(f"live store: {error}") from error
