"""What stands against a deletion."""

from typing import Any

import asyncpg

from b2bua.routing import removal
from tests.support.servers import Run


async def stock(row: Any) -> dict[str, int]:
    """A route that accounts and an emergency number lead over, and one that nobody uses."""
    ids = {
        name: await row.fetchval("INSERT INTO route (name) VALUES ($1) RETURNING id", name) for name in ("used", "free")
    }
    await row.execute(
        """
        INSERT INTO account (code, kind, name, currency)
        SELECT 'CUST000' || number, 'customer', 'x', 'EUR' FROM generate_series(1, 5) AS number
        """
    )
    await row.execute("INSERT INTO dialing_route (account_id, route_id) SELECT id, $1 FROM account", ids["used"])
    await row.execute("INSERT INTO emergency_number (pattern, route_id) VALUES ('112', $1)", ids["used"])
    return ids


def test_route_says_who_calls_over_it(run: Run, database_url: str) -> None:
    async def scenario() -> None:
        row = await asyncpg.connect(database_url)
        try:
            ids = await stock(row)
            assert await removal.against_route(row, ids["used"]) == [
                "It is dialled over by accounts CUST0001, CUST0002, CUST0003 and 2 more: change their dialing routes",
                "It takes emergency number 112: lead them over another route",
            ]
            assert await removal.against_route(row, ids["free"]) == []
        finally:
            await row.close()

    run(scenario())


def test_records_that_take_too_long_to_look_through_stand_against_it(
    run: Run, database_url: str, monkeypatch: Any
) -> None:
    monkeypatch.setattr(removal, "LOOK", "150ms")

    async def scenario() -> None:
        row, other = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
        try:
            gateway = await row.fetchval(
                """
                WITH made AS (INSERT INTO carrier (code, name, currency) VALUES ('CARR0001', 'x', 'EUR') RETURNING id)
                INSERT INTO gateway (carrier_id, name, host, status) SELECT id, 'g', '192.0.2.1', 'inactive' FROM made
                RETURNING id
                """
            )
            async with other.transaction(), row.transaction():
                await other.execute("LOCK TABLE cdr IN ACCESS EXCLUSIVE MODE")
                [reason] = await removal.against_gateway(row, gateway)
                assert "could not be found out in time" in reason
        finally:
            await row.close()
            await other.close()

    run(scenario())
