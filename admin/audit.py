"""Who changed what: a row for each change, in the transaction that makes it, and a log line for each act."""

from collections.abc import Mapping
from typing import Any

import structlog
from aiohttp import web

from admin.keys import POOL, REQUEST_ID, USER
from admin.stores import audits
from b2bua.account.audit import Entry, add
from rating.ledger import Connection

log = structlog.get_logger("audit")

SECRET = frozenset({"password", "password_hash", "ha1_md5", "secret", "auth_secret", "totp_secret"})
"""Never written, old or new."""


def record(request: web.Request, action: str, **details: object) -> None:
    """Log an act of the signed-in login with what it was done to."""
    user = request.get(USER)
    facts = {
        **details,
        "audit": True,
        "login": (user.switched_by or user.login) if user else None,
        "acting_as": user.login if user and user.switched_by else None,
        "role": user.role if user else None,
        "address": request.remote,
        "request_id": request.get(REQUEST_ID),
    }
    log.info(action, **facts)


async def write_refusal(request: web.Request, login: str, what: str, *, counts: bool = True) -> None:
    """Keep that a sign-in of a login was refused, and whether that locked it.

    Nothing is kept of names that are no login, nor while one is locked, which `counts` says: anybody could fill the log
    with them. The answer takes as long.
    """
    source, request_id = request.remote or "", str(request.get(REQUEST_ID, ""))
    await audits.add_refusal(request.app[POOL], login, what, counts=counts, source=source, request_id=request_id)


async def write(
    connection: Connection,
    request: web.Request,
    action: str,
    subject: str,
    *,
    account_id: int | None = None,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
) -> None:
    """Keep a change of the signed-in login: what it was done to, and the values before and after."""
    user = request[USER]
    entry = Entry(
        login=user.switched_by or user.login,
        role=user.role,
        acting_as=user.login if user.switched_by else "",
        action=action,
        account_id=account_id,
        subject=subject,
        old=_without_secrets(old),
        new=_without_secrets(new),
        source=request.remote or "",
        request_id=str(request.get(REQUEST_ID, "")),
    )
    await add(connection, entry)
    record(request, action, subject=subject, changed=sorted(set(old or ()) | set(new or ())))


def _without_secrets(values: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    if values is None:
        return None
    return {name: "changed" if name in SECRET else value for name, value in values.items()}
