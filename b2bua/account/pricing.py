"""Tariffs, ratecards and rates as their forms make and change them.

Each is of an owner: the operator's, or a reseller's for the accounts directly below it. What is found here by its id or
name is looked for among those of the owner.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import asyncpg

from b2bua.account import store
from b2bua.account.errors import AlreadyThere, Refused
from b2bua.account.tariff import Rate, Ratecard, Tariff, TariffRatecard
from rating.ledger import Connection

Row = Mapping[str, Any]
Change = tuple[dict[str, Any], dict[str, Any]]
"""What was changed, as it was and as it is."""

INTERNAL: Final = frozenset({"id", "owner_id", "created_at", "tariff_id", "ratecard_id"})
"""Columns that a change does not tell."""
_NO_DATE: Final = ("-infinity", "infinity")


async def _row(connection: Connection, query: str, key: int) -> dict[str, Any]:
    text: str | None = await connection.fetchval(query, key)
    row = json.loads(text or "{}")
    # No date is none, whatever PostgreSQL calls it.
    return {name: None if each in _NO_DATE else each for name, each in row.items() if name not in INTERNAL}


def _differences(before: Row, after: Row) -> Change:
    changed = [name for name, value in before.items() if after.get(name) != value]
    return {name: before[name] for name in changed}, {name: after.get(name) for name in changed}


# Tariffs


async def add_tariff(connection: Connection, form: Tariff, owner_id: int | None = None) -> int:
    """Make a tariff without ratecards and return its id.

    Raises:
        Refused: the name is taken, or it is not in the reseller's currency, or for carriers though of a reseller.
    """
    await _refuse_foreign_currency(connection, form, owner_id)
    try:
        with store.unique(form.name):
            added: int = await connection.fetchval(
                """
                INSERT INTO tariff (name, kind, currency, status, owner_id) VALUES ($1, $2, $3, $4, $5) RETURNING id
                """,
                form.name,
                form.kind,
                form.currency,
                form.status,
                owner_id,
            )
    except AlreadyThere:
        raise _taken(form.name) from None
    return added


def _taken(name: str) -> Refused:
    return Refused("name", f"Name {name} is taken: choose another")


async def _refuse_foreign_currency(connection: Connection, form: Tariff, owner_id: int | None) -> None:
    if owner_id is None:
        return
    if form.kind != "customer":
        raise Refused("kind", "A reseller's tariff must be for customers")
    currency: str = await connection.fetchval("SELECT currency FROM account WHERE id = $1", owner_id)
    if form.currency != currency:
        raise Refused("currency", f"Currency must be {currency}, that of the reseller")


async def change_tariff(connection: Connection, tariff_id: int, form: Tariff) -> Change:
    """Change a tariff and return what was changed.

    Raises:
        Refused: the name is taken, or it is used and would be of another kind or currency.
    """
    query = "SELECT to_jsonb(tariff)::text FROM tariff WHERE id = $1 FOR UPDATE"
    before = await _row(connection, query, tariff_id)
    owner_id: int | None = await connection.fetchval("SELECT owner_id FROM tariff WHERE id = $1", tariff_id)
    await _refuse_foreign_currency(connection, form, owner_id)
    if (form.kind, form.currency) != (before["kind"], before["currency"]) and await users_of(connection, tariff_id):
        name = "kind" if form.kind != before["kind"] else "currency"
        raise Refused(name, "It cannot be changed while accounts or carriers use the tariff: make another tariff")
    try:
        with store.unique(form.name):
            await connection.execute(
                """
                UPDATE tariff SET name = $2, kind = $3, currency = $4, status = $5
                WHERE id = $1 AND (name, kind, currency, status) <> ($2, $3, $4, $5)
                """,
                tariff_id,
                form.name,
                form.kind,
                form.currency,
                form.status,
            )
    except AlreadyThere:
        raise _taken(form.name) from None
    return _differences(before, await _row(connection, query, tariff_id))


async def users_of(connection: Connection, tariff_id: int) -> int:
    """How many accounts and carriers have a tariff."""
    found: int = await connection.fetchval(
        """
        SELECT (SELECT count(*) FROM account WHERE tariff_id = $1) + (SELECT count(*) FROM carrier WHERE tariff_id = $1)
        """,
        tariff_id,
    )
    return found


async def remove_tariff(connection: Connection, tariff_id: int) -> None:
    """Remove a tariff that nobody has; its ratecards stay.

    Raises:
        Refused: accounts or carriers have it.
    """
    await connection.execute("SELECT FROM tariff WHERE id = $1 FOR UPDATE", tariff_id)
    if users := await users_of(connection, tariff_id):
        who = "1 account or carrier uses" if users == 1 else f"{users} accounts and carriers use"
        raise Refused("", f"{who} the tariff: give them another one first")
    await connection.execute("DELETE FROM tariff WHERE id = $1", tariff_id)


# Ratecards in tariffs


async def map_ratecard(connection: Connection, tariff_id: int, form: TariffRatecard) -> int:
    """Put a ratecard into a tariff and return the id of the entry.

    Raises:
        Refused: there is no such ratecard of the tariff's owner, or it is in the tariff.
    """
    ratecard_id: int | None = await connection.fetchval(
        """
        SELECT ratecard.id FROM ratecard JOIN tariff ON tariff.owner_id IS NOT DISTINCT FROM ratecard.owner_id
        WHERE ratecard.name = $1 AND tariff.id = $2
        """,
        form.ratecard,
        tariff_id,
    )
    if ratecard_id is None:
        raise Refused("ratecard", "Ratecard must be one of the list")
    try:
        with store.unique(form.ratecard):
            added: int = await connection.fetchval(
                """
                INSERT INTO tariff_ratecard (tariff_id, ratecard_id, priority, days, hours_from, hours_until, zone)
                VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id
                """,
                tariff_id,
                ratecard_id,
                *_window(form),
            )
    except AlreadyThere:
        raise Refused("ratecard", f"Ratecard {form.ratecard} is in the tariff already: change its entry") from None
    return added


def _window(form: TariffRatecard) -> tuple[Any, ...]:
    return form.priority, form.days, form.hours_from, form.hours_until, form.zone


async def change_mapping(connection: Connection, mapping_id: int, form: TariffRatecard) -> Change:
    """Change when a ratecard counts in a tariff and return what was changed; which one it is stays."""
    query = "SELECT to_jsonb(tariff_ratecard)::text FROM tariff_ratecard WHERE id = $1 FOR UPDATE"
    before = await _row(connection, query, mapping_id)
    await connection.execute(
        """
        UPDATE tariff_ratecard SET priority = $2, days = $3, hours_from = $4, hours_until = $5, zone = $6
        WHERE id = $1 AND (priority, days, hours_from, hours_until, zone) <> ($2, $3::integer, $4, $5, $6)
        """,
        mapping_id,
        *_window(form),
    )
    return _differences(before, await _row(connection, query, mapping_id))


async def unmap_ratecard(connection: Connection, mapping_id: int) -> None:
    """Take a ratecard out of a tariff; the ratecard stays."""
    await connection.execute("DELETE FROM tariff_ratecard WHERE id = $1", mapping_id)


# Ratecards


async def add_ratecard(connection: Connection, form: Ratecard, owner_id: int | None = None) -> int:
    """Make a ratecard without rates and return its id.

    Raises:
        Refused: the name is taken.
    """
    try:
        with store.unique(form.name):
            added: int = await connection.fetchval(
                "INSERT INTO ratecard (name, direction, owner_id) VALUES ($1, $2, $3) RETURNING id",
                form.name,
                form.direction,
                owner_id,
            )
    except AlreadyThere:
        raise _taken(form.name) from None
    return added


async def change_ratecard(connection: Connection, ratecard_id: int, form: Ratecard) -> Change:
    """Change a ratecard and return what was changed.

    Raises:
        Refused: the name is taken.
    """
    query = "SELECT to_jsonb(ratecard)::text FROM ratecard WHERE id = $1 FOR UPDATE"
    before = await _row(connection, query, ratecard_id)
    try:
        with store.unique(form.name):
            await connection.execute(
                "UPDATE ratecard SET name = $2, direction = $3 WHERE id = $1 AND (name, direction) <> ($2, $3)",
                ratecard_id,
                form.name,
                form.direction,
            )
    except AlreadyThere:
        raise _taken(form.name) from None
    return _differences(before, await _row(connection, query, ratecard_id))


async def remove_ratecard(connection: Connection, ratecard_id: int) -> None:
    """Remove a ratecard with its rates.

    Raises:
        Refused: it is in a tariff.
    """
    await connection.execute("SELECT FROM ratecard WHERE id = $1 FOR UPDATE", ratecard_id)
    names = await connection.fetch(
        """
        SELECT tariff.name FROM tariff_ratecard JOIN tariff ON tariff.id = tariff_ratecard.tariff_id
        WHERE tariff_ratecard.ratecard_id = $1 ORDER BY tariff.name LIMIT 4
        """,
        ratecard_id,
    )
    if names:
        more = " and others" if len(names) > 3 else ""
        listed = ", ".join(row["name"] for row in names[:3])
        raise Refused("", f"The ratecard is in the tariff {listed}{more}: take it out of there first")
    await connection.execute("DELETE FROM ratecard WHERE id = $1", ratecard_id)


# Rates

_COLUMNS: Final = tuple(Rate.model_fields)


@asynccontextmanager
async def _writing(connection: Connection, form: Rate) -> AsyncIterator[None]:
    """Say what stands against a rate. An import holds its ratecard until it is done: nobody waits for that."""
    await connection.execute("SET LOCAL lock_timeout = '5s'")
    try:
        yield
    except asyncpg.LockNotAvailableError:
        raise Refused("", "A file is being imported into the ratecard: change the rate when that is done") from None
    except asyncpg.UniqueViolationError:
        when = "that was always valid" if form.valid_from is None else "from this moment on"
        text = f"Prefix {form.prefix or '%'} has a rate {when} already: change that, or begin later"
        raise Refused("prefix", text) from None


def _values(form: Rate) -> tuple[Any, ...]:
    return tuple(getattr(form, name) for name in _COLUMNS)


async def add_rate(connection: Connection, ratecard_id: int, form: Rate) -> int:
    """Add a rate, in the caller's transaction, and return its id.

    Raises:
        Refused: the prefix has a rate from that moment on, or the ratecard is being imported into.
    """
    async with _writing(connection, form):
        added: int = await connection.fetchval(
            """
            INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute, connection_charge, minimum,
                resolution, blocks_mode, grace, multiplier, addition, setup, rental, channels, status, valid_from,
                valid_until)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                coalesce($16::timestamptz, '-infinity'), coalesce($17::timestamptz, 'infinity'))
            RETURNING id
            """,
            ratecard_id,
            *_values(form),
        )
    return added


async def change_rate(connection: Connection, rate_id: int, form: Rate) -> Change:
    """Change a rate, in the caller's transaction, and return what was changed.

    Raises:
        Refused: the prefix has another rate from that moment on, or the ratecard is being imported into.
    """
    query = "SELECT to_jsonb(rate)::text FROM rate WHERE id = $1 FOR UPDATE"
    async with _writing(connection, form):
        before = await _row(connection, query, rate_id)
        await connection.execute(
            """
            UPDATE rate SET prefix = $2, destination = $3, rate_per_minute = $4, connection_charge = $5,
                minimum = $6, resolution = $7, blocks_mode = $8, grace = $9, multiplier = $10, addition = $11,
                setup = $12, rental = $13, channels = $14, status = $15,
                valid_from = coalesce($16::timestamptz, '-infinity'),
                valid_until = coalesce($17::timestamptz, 'infinity')
            WHERE id = $1 AND (prefix, destination, rate_per_minute, connection_charge, minimum, resolution,
                blocks_mode, grace, multiplier, addition, setup, rental, channels, status, valid_from, valid_until)
                IS DISTINCT FROM ($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15,
                coalesce($16::timestamptz, '-infinity'), coalesce($17::timestamptz, 'infinity'))
            """,
            rate_id,
            *_values(form),
        )
    return _differences(before, await _row(connection, query, rate_id))


async def remove_rate(connection: Connection, rate_id: int) -> None:
    """Remove a rate: calls to its prefix take that of a shorter one, or of another time."""
    await connection.execute("DELETE FROM rate WHERE id = $1", rate_id)
