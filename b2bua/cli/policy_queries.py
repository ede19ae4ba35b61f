"""The SQL of the command line for routes, number rules, DIDs and emergency numbers, as `queries` is for the rest."""

from dataclasses import dataclass
from typing import Final

from b2bua.cli.queries import Page, Row, page
from b2bua.routing.field import show_days, show_failover_codes, show_hours
from rating.ledger import Connection

# Routes

LAST_ENTRY: Final = 2**63 - 1
"""An id that no entry has."""


@dataclass(frozen=True, slots=True)
class RouteCursor:
    """Where a list of route entries goes on."""

    route: str = ""
    prefix: str = ""
    priority: int = -1
    carrier: str = ""
    entry: int = 0


async def route_entries(
    connection: Connection, *, route: str | None = None, after: RouteCursor | None = None, limit: int = 100
) -> Page:
    """List the entries of every route by route, prefix and priority; a route without entries has one line."""
    after = after or RouteCursor()
    records = await connection.fetch(
        """
        SELECT entry.route, entry.route_status, entry.mode, entry.zone, entry.prefix, entry.carrier, entry.priority,
            entry.weight, entry.days, entry.hours_from, entry.hours_until, entry.status, entry.entry
        FROM (
            SELECT route.name AS route, route.status AS route_status, route.mode, route.zone,
                coalesce(route_entry.prefix, '') AS prefix, coalesce(carrier.code, '') AS carrier,
                coalesce(route_entry.priority, 0) AS priority, route_entry.weight, route_entry.days,
                route_entry.hours_from, route_entry.hours_until, route_entry.status,
                coalesce(route_entry.id, 0) AS entry
            FROM route
            LEFT JOIN route_entry ON route_entry.route_id = route.id
            LEFT JOIN carrier ON carrier.id = route_entry.carrier_id
            WHERE $1::text IS NULL OR route.name = $1
        ) AS entry
        WHERE (entry.route, entry.prefix, entry.priority, entry.carrier, entry.entry) > ($2, $3, $4::integer, $5, $6)
        ORDER BY entry.route, entry.prefix, entry.priority, entry.carrier, entry.entry
        LIMIT $7
        """,
        route,
        after.route,
        after.prefix,
        after.priority,
        after.carrier,
        after.entry,
        limit + 1,
    )
    found = page(records, limit, _route_cursor)
    return Page([_entry(row) for row in found.rows], found.after)


def _route_cursor(row: Row) -> str:
    return ",".join(str(row[name]) for name in ("route", "prefix", "priority", "carrier", "entry"))


def _entry(row: Row) -> Row:
    if not row["entry"]:
        return {**row, "entry": None, "days": "", "hours": ""}
    return {**row, "days": show_days(row["days"]), "hours": show_hours(row["hours_from"], row["hours_until"])}


async def route(connection: Connection, name: str) -> Row | None:
    """Return one route: how it chooses, and who uses it."""
    record = await connection.fetchrow(
        """
        SELECT route.id, route.name, route.status, route.mode, route.zone, route.failover_codes, route.ring_failover,
            (SELECT count(*) FROM route_entry WHERE route_entry.route_id = route.id) AS entries,
            ARRAY(
                SELECT account.code || ' ' || dialing_route.pattern
                FROM dialing_route JOIN account ON account.id = dialing_route.account_id
                WHERE dialing_route.route_id = route.id ORDER BY account.code, dialing_route.pattern
            ) AS dialed_by,
            ARRAY(
                SELECT account.code
                FROM reseller_route JOIN account ON account.id = reseller_route.account_id
                WHERE reseller_route.route_id = route.id ORDER BY account.code
            ) AS permitted_to,
            ARRAY(
                SELECT pattern FROM emergency_number WHERE emergency_number.route_id = route.id ORDER BY pattern
            ) AS emergency_numbers
        FROM route WHERE route.name = $1
        """,
        name,
    )
    if record is None:
        return None
    return {**dict(record), "failover_codes": show_failover_codes(record["failover_codes"])}


async def route_entry_ids(connection: Connection, route_id: int, prefix: str, carrier_id: int) -> list[int]:
    """Return the entries of a route for a prefix and a carrier; with several windows there may be several."""
    records = await connection.fetch(
        "SELECT id FROM route_entry WHERE route_id = $1 AND prefix = $2 AND carrier_id = $3 ORDER BY id",
        route_id,
        prefix,
        carrier_id,
    )
    return [record["id"] for record in records]


async def has_route_entry(connection: Connection, route_id: int, entry_id: int) -> bool:
    """Tell whether a route has this entry."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM route_entry WHERE id = $1 AND route_id = $2)", entry_id, route_id
    )
    return found


async def dialing_routes(
    connection: Connection, *, account: str | None = None, after: tuple[str, str] = ("", ""), limit: int = 100
) -> Page:
    """List the dialing patterns of accounts and the route of each."""
    records = await connection.fetch(
        """
        SELECT account.code AS account, dialing_route.pattern, route.name AS route, route.status AS route_status
        FROM dialing_route
        JOIN account ON account.id = dialing_route.account_id
        JOIN route ON route.id = dialing_route.route_id
        WHERE ($1::text IS NULL OR account.code = $1) AND (account.code, dialing_route.pattern) > ($2, $3)
        ORDER BY account.code, dialing_route.pattern
        LIMIT $4
        """,
        account,
        *after,
        limit + 1,
    )
    return page(records, limit, lambda row: f"{row['account']},{row['pattern']}")


# Number rules


async def number_rules(
    connection: Connection,
    *,
    account_id: int | None = None,
    carrier_id: int | None = None,
    kind: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> Page:
    """List number rules in the order in which they were made."""
    records = await connection.fetch(
        """
        SELECT number_rule.id, account.code AS account, carrier.code AS carrier, number_rule.kind, number_rule.rule
        FROM number_rule
        LEFT JOIN account ON account.id = number_rule.account_id
        LEFT JOIN carrier ON carrier.id = number_rule.carrier_id
        WHERE ($1::bigint IS NULL OR number_rule.account_id = $1)
            AND ($2::bigint IS NULL OR number_rule.carrier_id = $2)
            AND ($3::text IS NULL OR number_rule.kind = $3)
            AND ($4::bigint IS NULL OR number_rule.id > $4)
        ORDER BY number_rule.id
        LIMIT $5
        """,
        account_id,
        carrier_id,
        kind,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["id"]))


async def rule_texts(connection: Connection, *, account_id: int | None, carrier_id: int | None, kind: str) -> list[str]:
    """Return all rules of one kind of an account or a carrier."""
    records = await connection.fetch(
        "SELECT rule FROM number_rule WHERE (account_id = $1 OR carrier_id = $2) AND kind = $3 ORDER BY id",
        account_id,
        carrier_id,
        kind,
    )
    return [record["rule"] for record in records]


# DIDs


async def dids(
    connection: Connection,
    *,
    account: str | None = None,
    carrier: str | None = None,
    status: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page:
    """List DIDs by number, with where calls to them go."""
    records = await connection.fetch(
        """
        WITH destination AS NOT MATERIALIZED (
            SELECT did_destination.did_id, did_destination.priority,
                did_destination.kind || ':' || coalesce(
                    sip_user.username, host(ip_device.address), did_destination.number
                ) AS text
            FROM did_destination
            LEFT JOIN sip_user ON sip_user.id = did_destination.sip_user_id
            LEFT JOIN ip_device ON ip_device.id = did_destination.ip_device_id
        )
        SELECT did.number, carrier.code AS carrier, account.code AS account, did.channels, first.text AS destination,
            second.text AS failover, did.status
        FROM did
        LEFT JOIN carrier ON carrier.id = did.carrier_id
        LEFT JOIN account ON account.id = did.account_id
        LEFT JOIN destination AS first ON first.did_id = did.id AND first.priority = 1
        LEFT JOIN destination AS second ON second.did_id = did.id AND second.priority = 2
        WHERE ($1::text IS NULL OR account.code = $1)
            AND ($2::text IS NULL OR carrier.code = $2)
            AND ($3::text IS NULL OR did.status = $3)
            AND ($4::text IS NULL OR did.number > $4)
        ORDER BY did.number
        LIMIT $5
        """,
        account,
        carrier,
        status,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["number"]))


# Emergency numbers


async def emergency_numbers(connection: Connection, *, after: str | None = None, limit: int = 100) -> Page:
    """List emergency numbers and the route of each."""
    records = await connection.fetch(
        """
        SELECT emergency_number.pattern, route.name AS route, route.status AS route_status
        FROM emergency_number JOIN route ON route.id = emergency_number.route_id
        WHERE $1::text IS NULL OR emergency_number.pattern > $1
        ORDER BY emergency_number.pattern
        LIMIT $2
        """,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["pattern"]))


# Devices


async def dids_to_device(connection: Connection, kind: str, device_id: int) -> list[str]:
    """Return the DIDs that lead to a device."""
    records = await connection.fetch(
        """
        SELECT DISTINCT did.number
        FROM did_destination JOIN did ON did.id = did_destination.did_id
        WHERE CASE WHEN $1 = 'ip' THEN did_destination.ip_device_id = $2 ELSE did_destination.sip_user_id = $2 END
        ORDER BY did.number
        """,
        kind,
        device_id,
    )
    return [record["number"] for record in records]


async def has_extension(connection: Connection, account_id: int, extension: str) -> bool:
    """Tell whether a SIP user of an account has this extension."""
    found: bool = await connection.fetchval(
        "SELECT EXISTS (SELECT FROM sip_user WHERE account_id = $1 AND extension = $2)", account_id, extension
    )
    return found


async def same_dial_prefix(connection: Connection, address: str, prefix: str) -> Row | None:
    """Return the IP device at an address whose dial prefix means the same: a + before and a % after it mean nothing."""
    record = await connection.fetchrow(
        """
        SELECT 'ip:' || ip_device.id AS device, account.code AS account
        FROM ip_device JOIN account ON account.id = ip_device.account_id
        WHERE ip_device.address = $1::text::cidr AND trim('+%' FROM ip_device.dial_prefix) = trim('+%' FROM $2::text)
        """,
        address,
        prefix,
    )
    return None if record is None else dict(record)
