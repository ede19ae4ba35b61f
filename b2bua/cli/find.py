"""Finds what a command names, or says that there is no such thing."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import typer

from b2bua.cli import queries
from b2bua.cli.context import CommandError, NotFound
from b2bua.cli.option import NONE, parse_network
from rating.ledger import Connection

_DEVICE: Final = re.compile(r"(ip|user):([0-9]{1,18})")
_KINDS: Final = {"": "device", "ip": "IP device", "user": "SIP user"}


@dataclass(frozen=True, slots=True)
class Account:
    """An account that was named."""

    id: int
    code: str
    kind: str
    currency: str


@dataclass(frozen=True, slots=True)
class Tariff:
    """A tariff that was named."""

    id: int
    name: str
    currency: str


@dataclass(frozen=True, slots=True)
class Device:
    """An IP device or a SIP user that was named."""

    kind: str
    """`ip` or `user`."""
    id: int
    account_id: int
    account: str
    identity: str
    """Its address, or its name."""
    dial_prefix: str
    """Of an IP device."""

    @property
    def title(self) -> str:
        """How a message names it."""
        return f"{_KINDS[self.kind]} {self.identity}"


@dataclass(frozen=True, slots=True)
class Login:
    """A login of the panel that was named."""

    id: int
    name: str
    account_id: int | None
    account: str | None
    """Code of the account it belongs to; None: the operator's."""
    status: str
    locked_until: datetime | None
    """After too many failures; None: not locked so."""
    has_second_factor: bool

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"login {self.name}" + (f" of {self.account}" if self.account else "")


async def find_account(connection: Connection, code: str) -> Account:
    """Find an account by its code."""
    record = await connection.fetchrow("SELECT id, code, kind, currency FROM account WHERE code = $1", code)
    if record is None:
        raise NotFound(f"no account {code}")
    return Account(*record)


async def find_reseller(connection: Connection, code: str) -> Account:
    """Find an account that is a reseller."""
    account = await find_account(connection, code)
    if account.kind != "reseller":
        raise CommandError(f"account {code} is no reseller")
    return account


async def find_carrier(connection: Connection, code: str) -> int:
    """Find the id of a carrier by its code."""
    found = await queries.carrier_id(connection, code)
    if found is None:
        raise NotFound(f"no carrier {code}")
    return found


async def find_tariff(connection: Connection, name: str, kind: str) -> Tariff:
    """Find a tariff for a customer or for a carrier by its name."""
    record = await connection.fetchrow("SELECT id, name, currency, kind FROM tariff WHERE name = $1", name)
    if record is None:
        raise NotFound(f"no tariff {name}")
    if record["kind"] != kind:
        raise CommandError(f"tariff {name} is a {record['kind']}'s, not a {kind}'s")
    return Tariff(record["id"], record["name"], record["currency"])


async def find_route(connection: Connection, name: str) -> int:
    """Find the id of a route by its name."""
    found: int | None = await connection.fetchval("SELECT id FROM route WHERE name = $1", name)
    if found is None:
        raise NotFound(f"no route {name}")
    return found


async def find_did(connection: Connection, number: str) -> tuple[int, int | None]:
    """Find the ids of a DID and of its account."""
    record = await connection.fetchrow("SELECT id, account_id FROM did WHERE number = $1", number)
    if record is None:
        raise NotFound(f"no DID {number}")
    return record["id"], record["account_id"]


async def find_device(connection: Connection, text: str, kind: str = "") -> Device:
    """Find a device as lists and records name it (`ip:7`, `user:9`), by its user name, or by its address.

    Args:
        connection: The database.
        text: What names it.
        kind: `ip` or `user`, where it must be that; else it may be either.
    """
    match = _DEVICE.fullmatch(text)
    records = await connection.fetch(
        """
        SELECT device.kind, device.id, account.id, account.code, device.identity, device.dial_prefix
        FROM (
            SELECT 'ip' AS kind, id, account_id, address::text AS identity, dial_prefix FROM ip_device
            WHERE CASE WHEN $1 = 'ip' THEN id = $2 ELSE $1 = '' AND address = $4::text::cidr END
            UNION ALL
            SELECT 'user', id, account_id, username, '' FROM sip_user
            WHERE CASE WHEN $1 = 'user' THEN id = $2 ELSE $1 = '' AND username = $3 END
        ) AS device
        JOIN account ON account.id = device.account_id
        WHERE $5 IN ('', device.kind)
        ORDER BY device.kind DESC, device.id
        """,
        match[1] if match else "",
        int(match[2]) if match else 0,
        text,
        _network(text),
        kind,
    )
    if not records:
        raise NotFound(f"no {_KINDS[kind]} {text}")
    devices = [Device(*record) for record in records]
    if len(devices) > 1:
        names = ", ".join(f"{device.kind}:{device.id}" for device in devices)
        raise CommandError(f"{text} may be any of {names}: name one of them so")
    return devices[0]


def _network(text: str) -> str | None:
    try:
        return parse_network(text)
    except typer.BadParameter:
        return None


async def find_login(connection: Connection, name: str) -> Login:
    """Find a login of the panel by its name, and keep others from changing it in this transaction."""
    record = await connection.fetchrow(
        """
        SELECT panel_user.id, panel_user.login, account.id, account.code, panel_user.status,
            CASE WHEN panel_user.locked_until > now() THEN panel_user.locked_until END,
            panel_user.totp_secret IS NOT NULL
        FROM panel_user LEFT JOIN account ON account.id = panel_user.account_id
        WHERE panel_user.login = $1
        FOR UPDATE OF panel_user
        """,
        name,
    )
    if record is None:
        raise NotFound(f"no login {name}")
    return Login(*record)


async def find_named(connection: Connection, *, account: str | None, carrier: str | None) -> dict[str, int | None]:
    """Find the ids of those of an account and a carrier that an option names; `none` has no id."""
    found: dict[str, int | None] = {}
    if account is not None:
        found["account_id"] = None if account.lower() == NONE else (await find_account(connection, account)).id
    if carrier is not None:
        found["carrier_id"] = None if carrier.lower() == NONE else await find_carrier(connection, carrier)
    return found
