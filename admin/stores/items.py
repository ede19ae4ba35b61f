"""What belongs to a customer, tab by tab: listed, found, added, changed and removed.

Every statement names the account, so that an entry of another one is never found by its id.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from admin.paging import Page, PageRequest, make_page
from admin.rules import explain, in_order, patterns_in_order
from admin.stores.accounts import Account
from admin.stores.reading import Pool
from b2bua.account import store
from b2bua.account.device import DialingRoute, IPDevice, SIPUser
from b2bua.account.errors import AlreadyThere, Refused
from b2bua.account.field import Form
from rating.ledger import Connection

Row = Mapping[str, Any]

MOST: Final = 1000
"""Rules and patterns of an account that a page shows: they stand in the order in which they win, not by key."""


@dataclass(frozen=True, slots=True)
class Items:
    """The rows of one tab."""

    query: str
    """Gives `id` and the fields of the form; $1 is the account, $2 an id or NULL, $3 and $4 the page."""
    add: Callable[[Connection, Account, Form, Mapping[str, Any]], Awaitable[int]]
    change: Callable[[Connection, Account, Row, Form], Awaitable[None]]
    remove: Callable[[Connection, Account, Row], Awaitable[None]]
    order: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] | None = None
    """Puts all rows into their order; None: they come page by page, by id."""


def _query(columns: str, table: str) -> str:
    return f"""
        SELECT {table}.id, {columns}
        FROM {table} WHERE account_id = $1 AND ($2::bigint IS NULL OR {table}.id = $2)
          AND ($3::bigint IS NULL OR {table}.id > $3) ORDER BY {table}.id LIMIT $4
    """  # noqa: S608 — of constants, when the module is loaded


# IP devices


async def _add_ip_device(connection: Connection, account: Account, form: Form, _more: Mapping[str, Any]) -> int:
    assert isinstance(form, IPDevice)
    await _refuse_same_address(connection, form, None)
    with store.unique(form.address):
        return await store.add_ip_device(connection, account.account_id, form.address, form.columns())


async def _change_ip_device(connection: Connection, _account: Account, row: Row, form: Form) -> None:
    assert isinstance(form, IPDevice)
    await _refuse_same_address(connection, form, row["id"])
    if "/" in form.address and not form.address.endswith(("/32", "/128")):
        await _refuse_destination(connection, "ip", row, "address", "a call cannot be sent to a network")
    await store.set_ip_device(connection, row["id"], form.columns())


async def _refuse_same_address(connection: Connection, form: IPDevice, but: int | None) -> None:
    """A + before and a % after a dial prefix mean nothing. Whose the other device is, is not said."""
    taken: bool = await connection.fetchval(
        """
        SELECT EXISTS (
            SELECT FROM ip_device WHERE address = $1::text::cidr AND id IS DISTINCT FROM $3
              AND trim('+%' FROM dial_prefix) = trim('+%' FROM $2::text)
        )
        """,
        form.address,
        form.dial_prefix,
        but,
    )
    if taken:
        raise Refused("address", f"IP address {form.address} is taken with this dial prefix: choose another prefix")


async def _refuse_destination(connection: Connection, kind: str, row: Row, field: str, why: str) -> None:
    number: str | None = await connection.fetchval(
        """
        SELECT did.number FROM did_destination JOIN did ON did.id = did_destination.did_id
        WHERE CASE WHEN $1 = 'ip' THEN did_destination.ip_device_id = $2 ELSE did_destination.sip_user_id = $2 END
        ORDER BY did.number LIMIT 1
        """,
        kind,
        row["id"],
    )
    if number is not None:
        raise Refused(field, f"DID {number} leads to it, and {why}: lead the DID elsewhere first")


async def _remove_ip_device(connection: Connection, _account: Account, row: Row) -> None:
    await _refuse_destination(connection, "ip", row, "", "calls to it would be lost")
    await store.remove_device(connection, "ip", row["id"])


# SIP users


async def _add_sip_user(connection: Connection, account: Account, form: Form, more: Mapping[str, Any]) -> int:
    assert isinstance(form, SIPUser)
    try:
        return await store.add_sip_user(
            connection, account.account_id, form.username, more["ha1_md5"], _without_name(form)
        )
    except AlreadyThere as error:
        raise _sip_user_fault(form, error) from None


def _without_name(form: SIPUser) -> dict[str, Any]:
    return {name: value for name, value in form.columns().items() if name != "username"}


def _sip_user_fault(form: SIPUser, error: AlreadyThere) -> Refused:
    if "extension" in str(error):
        return Refused("extension", f"Extension {form.extension} is taken in this account: choose another")
    return Refused("username", f"SIP login {form.username} is taken: choose another")


async def _change_sip_user(connection: Connection, _account: Account, row: Row, form: Form) -> None:
    assert isinstance(form, SIPUser)
    try:
        await store.set_sip_user(connection, row["id"], _without_name(form))
    except AlreadyThere as error:
        raise _sip_user_fault(form, error) from None


async def _remove_sip_user(connection: Connection, _account: Account, row: Row) -> None:
    await _refuse_destination(connection, "user", row, "", "calls to it would be lost")
    await store.remove_device(connection, "user", row["id"])


async def set_secret(connection: Connection, row: Row, ha1_md5: str) -> None:
    """Give a SIP user another secret."""
    await store.set_sip_user(connection, row["id"], {"ha1_md5": ha1_md5})


# Dialing routes


async def permitted_routes(source: Pool | Connection, account: Account) -> list[str]:
    """Names of the routes that every reseller above an account may use; all where there is none."""
    records = await source.fetch(
        """
        WITH RECURSIVE above AS (
            SELECT parent_id AS id FROM account WHERE id = $1 AND parent_id IS NOT NULL
            UNION ALL
            SELECT account.parent_id FROM account JOIN above USING (id) WHERE account.parent_id IS NOT NULL
        )
        SELECT route.name FROM route
        WHERE NOT EXISTS (
            SELECT FROM above WHERE NOT EXISTS (
                SELECT FROM reseller_route WHERE reseller_route.account_id = above.id AND route_id = route.id
            )
        )
        ORDER BY lower(route.name) LIMIT 1000
        """,
        account.account_id,
    )
    return [record["name"] for record in records]


async def _route_id(connection: Connection, account: Account, name: str) -> int:
    if name not in await permitted_routes(connection, account):
        raise Refused("route", "Route must be one of the list")
    found: int = await connection.fetchval("SELECT id FROM route WHERE name = $1", name)
    return found


async def _add_dialing_route(connection: Connection, account: Account, form: Form, _more: Mapping[str, Any]) -> int:
    assert isinstance(form, DialingRoute)
    route_id = await _route_id(connection, account, form.route)
    try:
        with store.unique(form.pattern):
            added: int = await connection.fetchval(
                "INSERT INTO dialing_route (account_id, pattern, route_id) VALUES ($1, $2, $3) RETURNING id",
                account.account_id,
                form.pattern,
                route_id,
            )
    except AlreadyThere:
        raise Refused("pattern", f"Dialing pattern {form.pattern} is there already: change its route") from None
    return added


async def _change_dialing_route(connection: Connection, account: Account, row: Row, form: Form) -> None:
    assert isinstance(form, DialingRoute)
    route_id = await _route_id(connection, account, form.route)
    try:
        with store.unique(form.pattern):
            await connection.execute(
                """
                UPDATE dialing_route SET pattern = $3, route_id = $4
                WHERE id = $1 AND account_id = $2 AND (pattern, route_id) <> ($3, $4)
                """,
                row["id"],
                account.account_id,
                form.pattern,
                route_id,
            )
    except AlreadyThere:
        raise Refused("pattern", f"Dialing pattern {form.pattern} is there already: change its route") from None


async def _remove_dialing_route(connection: Connection, account: Account, row: Row) -> None:
    await connection.execute(
        "DELETE FROM dialing_route WHERE id = $1 AND account_id = $2", row["id"], account.account_id
    )


def _dialing_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    places = {text: place for place, text in enumerate(patterns_in_order([row["pattern"] for row in rows]))}
    return sorted(rows, key=lambda row: places[row["pattern"]])


# Number rules


def _rules(kind: str) -> Items:
    async def add(connection: Connection, account: Account, form: Form, _more: Mapping[str, Any]) -> int:
        rule = form.model_dump()["rule"]
        try:
            with store.unique(rule):
                added: int = await connection.fetchval(
                    "INSERT INTO number_rule (account_id, kind, rule) VALUES ($1, $2, $3) RETURNING id",
                    account.account_id,
                    kind,
                    rule,
                )
        except AlreadyThere:
            raise Refused("rule", f"Rule {rule} is there already") from None
        return added

    async def change(connection: Connection, account: Account, row: Row, form: Form) -> None:
        rule = form.model_dump()["rule"]
        try:
            with store.unique(rule):
                await connection.execute(
                    "UPDATE number_rule SET rule = $3 WHERE id = $1 AND account_id = $2 AND rule <> $3",
                    row["id"],
                    account.account_id,
                    rule,
                )
        except AlreadyThere:
            raise Refused("rule", f"Rule {rule} is there already") from None

    async def remove(connection: Connection, account: Account, row: Row) -> None:
        await connection.execute(
            "DELETE FROM number_rule WHERE id = $1 AND account_id = $2", row["id"], account.account_id
        )

    def order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        places = {text: place for place, text in enumerate(in_order([row["rule"] for row in rows], kind))}
        ordered = sorted(rows, key=lambda row: places[row["rule"]])
        return [{**row, "effect": explain(row["rule"], kind)} for row in ordered]

    query = _query("number_rule.rule", "number_rule").replace("WHERE", f"WHERE number_rule.kind = '{kind}' AND")
    return Items(query, add, change, remove, order)


STORES: Final = {
    "ip-devices": Items(
        _query(
            "address::text AS address, description, dial_prefix, port, transport, is_trusted, max_sessions, cps,"
            " srtp, dtmf, status",
            "ip_device",
        ),
        _add_ip_device,
        _change_ip_device,
        _remove_ip_device,
    ),
    "sip-users": Items(
        _query(
            "username, extension, address::text AS address, max_sessions, cps, voice_mail, voice_mail_email, srtp,"
            " dtmf, status",
            "sip_user",
        ),
        _add_sip_user,
        _change_sip_user,
        _remove_sip_user,
    ),
    "dialing-routes": Items(
        _query("dialing_route.pattern, route.name AS route", "dialing_route").replace(
            "WHERE", "JOIN route ON route.id = dialing_route.route_id WHERE"
        ),
        _add_dialing_route,
        _change_dialing_route,
        _remove_dialing_route,
        _dialing_order,
    ),
    "source-rules": _rules("source"),
    "destination-rules": _rules("destination"),
    "did-source-rules": _rules("did_source"),
    "did-destination-rules": _rules("did_destination"),
    "cli-rules": _rules("cli"),
}


async def list_items(
    source: Pool | Connection, account: Account, name: str, asked: PageRequest
) -> Page[dict[str, Any]]:
    """A page of what is under a tab; rules and patterns all at once, the first to win first."""
    items = STORES[name]
    if items.order is not None:
        records = await source.fetch(items.query, account.account_id, None, None, MOST)
        return Page(items.order([_row(record) for record in records]), None, None)
    if asked.backward:
        query = items.query.replace("id > $3", "id < $3").replace(".id LIMIT", ".id DESC LIMIT")
    else:
        query = items.query
    records = await source.fetch(query, account.account_id, None, *asked.parts(1), asked.size + 1)
    return make_page([_row(record) for record in records], asked, lambda row: (row["id"],))


async def find_item(source: Pool | Connection, account: Account, name: str, item_id: int) -> dict[str, Any] | None:
    """One entry of a tab; None: the account has none of this number."""
    record = await source.fetchrow(STORES[name].query, account.account_id, item_id, None, 1)
    return None if record is None else _row(record)


def _row(record: asyncpg.Record) -> dict[str, Any]:
    row = dict(record)
    if address := row.get("address"):
        row["address"] = address.removesuffix("/32" if "." in address else "/128")
    return row


async def rule_texts(source: Pool | Connection, account: Account, kind: str) -> list[str]:
    """The rules of one kind."""
    records = await source.fetch(
        "SELECT rule FROM number_rule WHERE account_id = $1 AND kind = $2 ORDER BY id LIMIT $3",
        account.account_id,
        kind,
        MOST,
    )
    return [record["rule"] for record in records]
