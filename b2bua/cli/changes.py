"""The SQL of the command line that changes what `account.store` and `routing.store` do not.

Every change of the configuration is a revision that all workers take up, so what would change nothing is not written.
"""

from collections.abc import Sequence
from typing import Final

from b2bua.account.store import delete_row, unique
from b2bua.cli.context import CommandError
from rating.ledger import Connection

# Dialing patterns


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
