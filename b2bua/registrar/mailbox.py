"""Mailboxes in the live store: how many messages wait for each SIP user, for whoever takes them to report.

`MailboxStore.report` is what a voice mail calls; every worker hears of it by a look at a version number, as of bans.
The commands are tuples for any client. All keys lie in one slot of a cluster.
"""

from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Final

import hiredis
import structlog

from b2bua.live.connection import LiveConnection, Reply, StoreAway
from b2bua.registrar.subscription import Mailbox

log = structlog.get_logger()

Command = tuple[str | bytes | int, ...]

KEYS: Final = ("{mailboxes}:counts", "{mailboxes}:changed", "{mailboxes}:version")
PAGE: Final = 1000
"""Most mailboxes of one answer."""
MOST: Final = 1_000_000
"""Most messages that are counted."""

UNKNOWN: Final = -1
"""In place of a version: only the present one is asked for."""


def _source(name: str) -> bytes:
    return resources.files("b2bua.registrar").joinpath(f"scripts/{name}.lua").read_bytes()


# They run rarely enough to be sent in full, which spares the answer that a script is not known.
_REPORT, _CHANGES = (_source(name) for name in ("report", "mailbox_changes"))

LIST: Final[Command] = ("HGETALL", KEYS[0])
"""Ask for all mailboxes; each pair is read by `read_mailbox`."""


def report(sip_user_id: int, new: int, old: int) -> Command:
    """Say how many messages there are; the answer is 1, or 0 where that was known.

    Raises:
        ValueError: so many cannot be.
    """
    if not (0 <= new <= MOST and 0 <= old <= MOST):
        raise ValueError(f"a mailbox holds 0 to {MOST} new and old messages, not {new} and {old}")
    return ("EVAL", _REPORT, len(KEYS), *KEYS, sip_user_id, f"{new}/{old}")


def changes(version: int, limit: int = PAGE) -> Command:
    """Ask what changed after a version; the answer is read by `read_changes`."""
    return ("EVAL", _CHANGES, len(KEYS), *KEYS, version, limit)


def read_changes(reply: list[Any]) -> tuple[int, bool, list[tuple[int, Mailbox]]]:
    """The version reached, whether there is more, and the mailboxes by SIP user."""
    version, is_more, *rest = reply
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return int(version), bool(is_more), [read_mailbox(name, held) for name, held in pairs]


def read_mailbox(name: bytes, held: bytes | None) -> tuple[int, Mailbox]:
    """A SIP user and its mailbox, as the store has them; one that nobody has reported is empty."""
    new, _, old = (held or b"0/0").partition(b"/")
    return int(name), Mailbox(int(new), int(old or 0))


class MailboxStore:
    """The mailboxes of every SIP user.

    Args:
        connection: The live store.
    """

    def __init__(self, connection: LiveConnection) -> None:
        self._connection = connection

    def report(self, sip_user_id: int, new: int, old: int, answered: Callable[[bool], None] = lambda _: None) -> None:
        """Say how many messages a SIP user has; its telephones hear of it within a second.

        Args:
            sip_user_id: Whose mailbox it is.
            new: Messages that it has not heard, …
            old: … and those that it has, and keeps.
            answered: Told whether the store took it; where it did not, report again later.

        Raises:
            ValueError: so many cannot be.
        """
        command = report(sip_user_id, new, old)
        self._connection.execute(command, lambda reply: answered(not isinstance(_noted(reply), Exception)))

    def read(self, ids: Sequence[int], answered: Callable[[dict[int, Mailbox] | StoreAway], None]) -> None:
        """Read the mailboxes of these SIP users, no more than `PAGE`."""

        def read(reply: Reply) -> None:
            if isinstance(_noted(reply), Exception):
                answered(StoreAway(str(reply)))
            else:
                answered(dict(read_mailbox(b"%d" % each, held) for each, held in zip(ids, reply, strict=True)))

        self._connection.execute(("HMGET", KEYS[0], *ids), read)

    def changes(
        self, version: int, answered: Callable[[tuple[int, bool, list[tuple[int, Mailbox]]] | StoreAway], None]
    ) -> None:
        """Ask what changed after a version, as `read_changes` has it."""

        def changed(reply: Reply) -> None:
            is_refused = isinstance(_noted(reply), Exception)
            answered(StoreAway(str(reply)) if is_refused else read_changes(reply))

        self._connection.execute(changes(version), changed)


def _noted(reply: Reply) -> Reply:
    """An answer; what the store refuses is a fault of ours."""
    if isinstance(reply, hiredis.ReplyError):
        log.error("live store refuses a command", error=str(reply))
    return reply
