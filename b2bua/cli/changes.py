"""The SQL of the command line that changes objects; that of accounts and devices is `accounts.store`.

What changes of a row comes as a dictionary of columns, and PostgreSQL lays it over the row that there is. Every change
of the configuration is a revision that all workers take up, so what would change nothing is not written.
"""

import json
from collections.abc import Sequence
from typing import Final

from b2bua.account.store import Values, change_row, delete_row, unique
from b2bua.cli.context import CommandError
from rating.ledger import Connection

# Carriers and gateways


async def add_carrier(connection: Connection, code: str, *, name: str, currency: str, values: Values) -> None:
    """Make a carrier."""
    async with connection.transaction():
        with unique(f"there is a carrier {code}"):
            await connection.execute(
                "INSERT INTO carrier (code, name, currency) VALUES ($1, $2, $3)", code, name, currency
            )
        await set_carrier(connection, code, values)


async def set_carrier(connection: Connection, code: str, values: Values) -> bool:
    """Change a carrier; False: no carrier has this code."""
    return await change_row(
        connection,
        """
        SELECT carrier IS DISTINCT FROM jsonb_populate_record(carrier, $2::jsonb)
        FROM carrier WHERE code = $1 FOR UPDATE
        """,
        """
        UPDATE carrier
        SET (name, tariff_id, codecs, max_sessions, cps, decimals, rounding, tax_inclusive, tax_percents, status)
        = (
            SELECT name, tariff_id, codecs, max_sessions, cps, decimals, rounding, tax_inclusive, tax_percents, status
            FROM jsonb_populate_record(carrier, $2::jsonb)
        )
        WHERE code = $1
        """,
        code,
        values,
    )


async def add_gateway(connection: Connection, name: str, *, carrier_id: int, host: str, values: Values) -> None:
    """Make a gateway."""
    async with connection.transaction():
        with unique(f"there is a gateway {name}"):
            await connection.execute(
                "INSERT INTO gateway (name, carrier_id, host) VALUES ($1, $2, $3)", name, carrier_id, host
            )
        await set_gateway(connection, name, values)


async def set_gateway(connection: Connection, name: str, values: Values) -> bool:
    """Change a gateway; False: there is no gateway of this name."""
    return await change_row(
        connection,
        """
        SELECT gateway IS DISTINCT FROM jsonb_populate_record(gateway, $2::jsonb)
        FROM gateway WHERE name = $1 FOR UPDATE
        """,
        """
        UPDATE gateway SET (host, port, transport, priority, weight, max_sessions, cps, invite_timeout,
            progress_timeout, ring_timeout, max_duration, is_trusted, probe_interval, status, tls_verify, prefers_tcp,
            reliable_ringing, session_timer, follows_redirects, identity, diversion, from_user, from_domain,
            passed_headers, added_headers, auth_user, auth_secret, registers, register_expires)
        = (
            SELECT host, port, transport, priority, weight, max_sessions, cps, invite_timeout, progress_timeout,
                ring_timeout, max_duration, is_trusted, probe_interval, status, tls_verify, prefers_tcp,
                reliable_ringing, session_timer, follows_redirects, identity, diversion, from_user, from_domain,
                passed_headers, added_headers, auth_user, auth_secret, registers, register_expires
            FROM jsonb_populate_record(gateway, $2::jsonb)
        )
        WHERE name = $1
        """,
        name,
        values,
    )


# Routes


async def add_route(connection: Connection, name: str, values: Values) -> None:
    """Make a route without entries."""
    async with connection.transaction():
        with unique(f"there is a route {name}"):
            await connection.execute("INSERT INTO route (name) VALUES ($1)", name)
        await set_route(connection, name, values)


async def set_route(connection: Connection, name: str, values: Values) -> bool:
    """Change a route; False: there is no route of this name."""
    return await change_row(
        connection,
        """
        SELECT route IS DISTINCT FROM jsonb_populate_record(route, $2::jsonb)
        FROM route WHERE name = $1 FOR UPDATE
        """,
        """
        UPDATE route SET (status, mode, zone, failover_codes, ring_failover)
        = (
            SELECT status, mode, zone, failover_codes, ring_failover FROM jsonb_populate_record(route, $2::jsonb)
        )
        WHERE name = $1
        """,
        name,
        values,
    )


async def remove_route(connection: Connection, route_id: int) -> None:
    """Delete a route with its entries and permissions."""
    await connection.execute("DELETE FROM route WHERE id = $1", route_id)


async def add_route_entry(
    connection: Connection, route_id: int, *, prefix: str, carrier_id: int, values: Values
) -> int:
    """Make an entry of a route and return its id."""
    async with connection.transaction():
        with unique("the route has such an entry for the same days and hours"):
            entry: int = await connection.fetchval(
                """
                INSERT INTO route_entry (route_id, prefix, carrier_id, days, hours_from, hours_until)
                SELECT $1, $2, $3, coalesce(new.days, 127), coalesce(new.hours_from, '00:00'),
                    coalesce(new.hours_until, '00:00')
                FROM jsonb_populate_record(NULL::route_entry, $4::jsonb) AS new
                RETURNING id
                """,
                route_id,
                prefix,
                carrier_id,
                json.dumps(dict(values)),
            )
        await set_route_entry(connection, entry, values)
    return entry


async def set_route_entry(connection: Connection, entry_id: int, values: Values) -> bool:
    """Change an entry of a route; False: there is no such entry."""
    with unique("the route has such an entry for the same days and hours"):
        return await change_row(
            connection,
            """
            SELECT route_entry IS DISTINCT FROM jsonb_populate_record(route_entry, $2::jsonb)
            FROM route_entry WHERE id = $1 FOR UPDATE
            """,
            """
            UPDATE route_entry SET (priority, weight, days, hours_from, hours_until, status)
            = (
                SELECT priority, weight, days, hours_from, hours_until, status
                FROM jsonb_populate_record(route_entry, $2::jsonb)
            )
            WHERE id = $1
            """,
            entry_id,
            values,
        )


async def remove_route_entry(connection: Connection, entry_id: int) -> None:
    """Delete an entry of a route."""
    await connection.execute("DELETE FROM route_entry WHERE id = $1", entry_id)


async def add_dialing_route(
    connection: Connection, account_id: int, pattern: str, route_id: int, *, replaces: bool
) -> None:
    """Send what an account dials by a pattern over a route.

    Raises:
        CommandError: the account has the pattern, and it is not to be replaced.
    """
    async with connection.transaction():
        old: int | None = await connection.fetchval(
            "SELECT route_id FROM dialing_route WHERE account_id = $1 AND pattern = $2 FOR UPDATE", account_id, pattern
        )
        if old is None:
            with unique(f"the account has the pattern {pattern}"):
                await connection.execute(
                    "INSERT INTO dialing_route (account_id, pattern, route_id) VALUES ($1, $2, $3)",
                    account_id,
                    pattern,
                    route_id,
                )
        elif not replaces:
            raise CommandError(f"the account has the pattern {pattern} already; --replace changes its route")
        elif old != route_id:
            await connection.execute(
                "UPDATE dialing_route SET route_id = $3 WHERE account_id = $1 AND pattern = $2",
                account_id,
                pattern,
                route_id,
            )


async def remove_dialing_route(connection: Connection, account_id: int, pattern: str) -> bool:
    """Delete a pattern of an account; False: it has no such pattern."""
    return await delete_row(
        connection,
        "SELECT EXISTS (SELECT FROM dialing_route WHERE account_id = $1 AND pattern = $2)",
        "DELETE FROM dialing_route WHERE account_id = $1 AND pattern = $2",
        account_id,
        pattern,
    )


_IS_PERMITTED: Final = "SELECT EXISTS (SELECT FROM reseller_route WHERE account_id = $1 AND route_id = $2)"


async def permit_route(connection: Connection, account_id: int, route_id: int) -> bool:
    """Let a reseller use a route; False: it may already."""
    async with connection.transaction():
        is_permitted: bool = await connection.fetchval(_IS_PERMITTED, account_id, route_id)
        if not is_permitted:
            await connection.execute(
                "INSERT INTO reseller_route (account_id, route_id) VALUES ($1, $2)", account_id, route_id
            )
    return not is_permitted


async def forbid_route(connection: Connection, account_id: int, route_id: int) -> bool:
    """Let a reseller use a route no more; False: it may not as it is."""
    return await delete_row(
        connection,
        _IS_PERMITTED,
        "DELETE FROM reseller_route WHERE account_id = $1 AND route_id = $2",
        account_id,
        route_id,
    )


# Number rules


async def add_number_rules(
    connection: Connection, *, account_id: int | None, carrier_id: int | None, kind: str, rules: Sequence[str]
) -> None:
    """Give an account or a carrier number rules, all of them or none."""
    async with connection.transaction():
        for rule in rules:
            with unique(f"there is the {kind} rule {rule}"):
                await connection.execute(
                    "INSERT INTO number_rule (account_id, carrier_id, kind, rule) VALUES ($1, $2, $3, $4)",
                    account_id,
                    carrier_id,
                    kind,
                    rule,
                )


async def remove_number_rules(
    connection: Connection, *, account_id: int | None, carrier_id: int | None, kind: str, rules: Sequence[str]
) -> int:
    """Take number rules away, all of them or none, and return how many of the kind are left.

    Raises:
        CommandError: there is no such rule.
    """
    async with connection.transaction():
        for rule in rules:
            found = await connection.fetchval(
                """
                DELETE FROM number_rule
                WHERE (account_id = $1 OR carrier_id = $2) AND kind = $3 AND rule = $4
                RETURNING id
                """,
                account_id,
                carrier_id,
                kind,
                rule,
            )
            if found is None:
                raise CommandError(f"there is no {kind} rule {rule}")
        left: int = await connection.fetchval(
            "SELECT count(*) FROM number_rule WHERE (account_id = $1 OR carrier_id = $2) AND kind = $3",
            account_id,
            carrier_id,
            kind,
        )
    return left


# DIDs


async def add_did(connection: Connection, number: str, values: Values) -> None:
    """Make a DID."""
    async with connection.transaction():
        with unique(f"there is a DID {number}"):
            await connection.execute("INSERT INTO did (number) VALUES ($1)", number)
        await set_did(connection, number, values)


async def set_did(connection: Connection, number: str, values: Values) -> bool:
    """Change a DID; False: there is no such DID. One that changes hands loses its destinations."""
    return await change_row(
        connection,
        "SELECT did IS DISTINCT FROM jsonb_populate_record(did, $2::jsonb) FROM did WHERE number = $1 FOR UPDATE",
        """
        UPDATE did SET (carrier_id, account_id, channels, status)
        = (SELECT carrier_id, account_id, channels, status FROM jsonb_populate_record(did, $2::jsonb))
        WHERE number = $1
        """,
        number,
        values,
    )


async def remove_did(connection: Connection, number: str) -> bool:
    """Delete a DID with its destinations; False: there is no such DID."""
    return await delete_row(
        connection,
        "SELECT EXISTS (SELECT FROM did WHERE number = $1)",
        "DELETE FROM did WHERE number = $1",
        number,
    )


async def set_did_destinations(connection: Connection, did_id: int, destinations: Sequence[Values]) -> None:
    """Replace the destinations of a DID.

    Args:
        connection: The database.
        did_id: The DID.
        destinations: Each with kind, sip_user_id, ip_device_id and number; the first is tried first.
    """
    columns = ("kind", "sip_user_id", "ip_device_id", "number")
    wanted = [tuple(each[name] for name in columns) for each in destinations]
    async with connection.transaction():
        await connection.execute("SELECT FROM did WHERE id = $1 FOR UPDATE", did_id)
        records = await connection.fetch(
            "SELECT kind, sip_user_id, ip_device_id, number FROM did_destination WHERE did_id = $1 ORDER BY priority",
            did_id,
        )
        if [tuple(record) for record in records] == wanted:
            return
        await connection.execute("DELETE FROM did_destination WHERE did_id = $1", did_id)
        for priority, values in enumerate(wanted, 1):
            await connection.execute(
                """
                INSERT INTO did_destination (did_id, priority, kind, sip_user_id, ip_device_id, number)
                VALUES ($1, $2, $3, $4, $5, $6)
                """,
                did_id,
                priority,
                *values,
            )


# Emergency numbers


async def add_emergency_number(connection: Connection, pattern: str, route_id: int, *, replaces: bool) -> None:
    """Let everybody call a number over a route.

    Raises:
        CommandError: there is the number, and it is not to be replaced.
    """
    async with connection.transaction():
        old: int | None = await connection.fetchval(
            "SELECT route_id FROM emergency_number WHERE pattern = $1 FOR UPDATE", pattern
        )
        if old is None:
            with unique(f"there is the emergency number {pattern}"):
                await connection.execute(
                    "INSERT INTO emergency_number (pattern, route_id) VALUES ($1, $2)", pattern, route_id
                )
        elif not replaces:
            raise CommandError(f"there is the emergency number {pattern} already; --replace changes its route")
        elif old != route_id:
            await connection.execute("UPDATE emergency_number SET route_id = $2 WHERE pattern = $1", pattern, route_id)


async def remove_emergency_number(connection: Connection, pattern: str) -> bool:
    """Delete an emergency number; False: there is no such number."""
    return await delete_row(
        connection,
        "SELECT EXISTS (SELECT FROM emergency_number WHERE pattern = $1)",
        "DELETE FROM emergency_number WHERE pattern = $1",
        pattern,
    )
