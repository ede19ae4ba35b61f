"""Destinations of DIDs, in a real PostgreSQL."""

import asyncpg
import pytest

from b2bua.account.errors import Refused
from b2bua.routing.did import Destinations
from b2bua.routing.numbering import set_destinations
from tests.support.policy import insert
from tests.support.servers import Run


def test_did_that_went_to_another_account_is_not_led_by_the_one_before(run: Run, database_url: str) -> None:
    async def scenario() -> None:
        row = await asyncpg.connect(database_url)
        try:
            first, second = [
                await insert(row, "account", code=code, kind="customer", name="x", currency="EUR")
                for code in ("CUST0001", "CUST0002")
            ]
            did = await insert(row, "did", number="4420", account_id=first)
            form = Destinations.model_validate({"kind": "number", "target": "4930"})
            await row.execute("UPDATE did SET account_id = $1", second)
            async with row.transaction():
                with pytest.raises(Refused, match="assigned to another account meanwhile"):
                    await set_destinations(row, did, first, form)
                await set_destinations(row, did, second, form)
            assert await row.fetchval("SELECT number FROM did_destination") == "4930"
        finally:
            await row.close()

    run(scenario())
