"""The audit log as those write it who change something, in the panel or on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from rating.ledger import Connection


@dataclass(frozen=True, slots=True)
class Entry:
    """One change."""

    login: str
    """Who made it; `command line` where nobody had signed in."""
    role: str
    acting_as: str
    """The login it had switched to, or empty."""
    action: str
    account_id: int | None
    """Whom it concerns."""
    subject: str
    """What was changed, for people: `account CUST0007`."""
    old: Mapping[str, Any] | None
    new: Mapping[str, Any] | None
    source: str
    """Address of the browser, or who typed the command."""
    request_id: str


async def add(connection: Connection, entry: Entry) -> None:
    """Add an entry."""
    await connection.execute(
        """
        INSERT INTO audit_entry (login, role, acting_as, action, account_id, object, old, new, source, request_id)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb, $9, $10)
        """,
        entry.login,
        entry.role,
        entry.acting_as,
        entry.action,
        entry.account_id,
        entry.subject,
        _json(entry.old),
        _json(entry.new),
        entry.source,
        entry.request_id,
    )


def _json(values: Mapping[str, Any] | None) -> str | None:
    return None if values is None else orjson.dumps(dict(values), default=str).decode()
