"""The SQL that changes carriers, gateways, routes and DIDs.

What changes of a row comes as a dictionary of columns, and PostgreSQL lays it over the row that there is. Every change
of the configuration is a revision that all workers take up, so what would change nothing is not written.
"""

import json
from collections.abc import Sequence

from b2bua.account.store import Values, change_row, delete_row, unique
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
            passed_headers, added_headers, auth_user, auth_secret, registers, register_expires, srtp, dtmf)
        = (
            SELECT host, port, transport, priority, weight, max_sessions, cps, invite_timeout, progress_timeout,
                ring_timeout, max_duration, is_trusted, probe_interval, status, tls_verify, prefers_tcp,
                reliable_ringing, session_timer, follows_redirects, identity, diversion, from_user, from_domain,
                passed_headers, added_headers, auth_user, auth_secret, registers, register_expires,
                srtp, dtmf
            FROM jsonb_populate_record(gateway, $2::jsonb)
        )
        WHERE name = $1
        """,
        name,
        values,
    )


async def remove_carrier(connection: Connection, carrier_id: int) -> None:
    """Delete a carrier, with its number rules, that nothing names."""
    await connection.execute("DELETE FROM carrier WHERE id = $1", carrier_id)


async def remove_gateway(connection: Connection, gateway_id: int) -> None:
    """Delete a gateway."""
    await connection.execute("DELETE FROM gateway WHERE id = $1", gateway_id)


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
