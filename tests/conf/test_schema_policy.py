"""What the tables of the policy take and what they refuse, in a real PostgreSQL."""

import asyncio
from collections.abc import Callable, Coroutine
from datetime import time
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from conf.migrate import migrate
from tests.support.policy import insert
from tests.support.servers import Run, Servers

SCHEMA = Path(__file__).parents[2] / "conf" / "schema"
Rows = asyncpg.Connection
Work = Callable[[Rows], Coroutine[Any, Any, None]]
REFUSED = asyncpg.IntegrityConstraintViolationError
KINDS = ["did_destination", "did_source", "destination", "source"]


@pytest.fixture
def with_database(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over a connection to an empty database."""

    def start(work: Work) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            try:
                await work(connection)
            finally:
                await connection.close()

        run(main())

    return start


async def is_taken(change: Coroutine[Any, Any, Any]) -> bool:
    """Whether a change of rows keeps the rules."""
    try:
        await change
    except REFUSED:
        return False
    return True


async def make_account(row: Rows, code: str, parent_id: int | None = None, **values: Any) -> int:
    kind = "reseller" if code.startswith("RESE") else "customer"
    return await insert(
        row,
        "account",
        **{"code": code, "kind": kind, "name": code, "currency": "EUR", "parent_id": parent_id, **values},
    )


async def make_user(row: Rows, account_id: int, username: str, extension: str = "") -> int:
    return await insert(
        row, "sip_user", account_id=account_id, username=username, ha1_md5="0" * 32, extension=extension
    )


async def make_device(row: Rows, account_id: int, address: str) -> int:
    return await insert(row, "ip_device", account_id=account_id, address=address)


async def make_did(row: Rows, account_id: int | None, number: str = "493012340000") -> int:
    return await insert(row, "did", number=number, account_id=account_id)


class TestChain:
    """A parent is a reseller, and nobody is above itself."""

    def test_account_may_be_below_resellers_at_any_depth(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            above = None
            for number in range(1, 13):
                above = await make_account(row, f"RESE{number:04}", above)
            await make_account(row, "CUST0001", above)
            other = await make_account(row, "RESE0100")
            await row.execute("UPDATE account SET parent_id = $1 WHERE code = 'RESE0005'", other)

        with_database(work)

    def test_parent_must_be_a_reseller(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            customer = await make_account(row, "CUST0001")
            await make_account(row, "CUST0003")
            with pytest.raises(asyncpg.CheckViolationError, match="the account above CUST0002 must be a reseller"):
                await make_account(row, "CUST0002", customer)
            with pytest.raises(asyncpg.CheckViolationError, match="must be a reseller"):
                await row.execute("UPDATE account SET parent_id = $1 WHERE code = 'CUST0003'", customer)

        with_database(work)

    @pytest.mark.parametrize("depth", [1, 2, 9])
    def test_circle_is_refused(self, with_database: Callable[[Work], None], depth: int) -> None:
        async def work(row: Rows) -> None:
            top = last = await make_account(row, "RESE0001")
            for number in range(2, depth + 1):
                last = await make_account(row, f"RESE{number:04}", last)
            with pytest.raises(asyncpg.CheckViolationError):
                await row.execute("UPDATE account SET parent_id = $1 WHERE id = $2", last, top)
            assert await row.fetchval("SELECT parent_id FROM account WHERE id = $1", top) is None

        with_database(work)

    def test_circle_that_one_statement_closes_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            one, other = await make_account(row, "RESE0001"), await make_account(row, "RESE0002")
            with pytest.raises(asyncpg.CheckViolationError, match="above itself"):
                await row.execute("UPDATE account SET parent_id = $1::bigint + $2::bigint - id", one, other)

        with_database(work)

    def test_circle_that_two_transactions_close_is_refused(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            row, other_row = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
            one, other = await make_account(row, "RESE0001"), await make_account(row, "RESE0002")
            sql = "UPDATE account SET parent_id = $1 WHERE id = $2"

            async def change(connection: Rows, parent: int, child: int) -> None:
                async with connection.transaction():
                    await connection.execute(sql, parent, child)

            results = await asyncio.gather(
                change(row, other, one), change(other_row, one, other), return_exceptions=True
            )
            assert [type(result) for result in results if result is not None] in (
                [asyncpg.CheckViolationError],
                [asyncpg.DeadlockDetectedError],
            )
            assert await row.fetchval("SELECT count(parent_id) FROM account") == 1
            await row.close()
            await other_row.close()

        run(main())

    def test_reseller_with_accounts_below_stays_one(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await make_account(row, "CUST0001", await make_account(row, "RESE0001"))
            with pytest.raises(REFUSED):
                await row.execute("UPDATE account SET kind = 'customer'")

        with_database(work)


class TestNumberRules:
    def test_new_accounts_and_carriers_start_with_every_number(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001", await make_account(row, "RESE0001"))
            carrier = await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
            for column, owner in (("account_id", account), ("carrier_id", carrier)):
                rules = await row.fetch(f"SELECT kind, rule FROM number_rule WHERE {column} = $1", owner)
                assert sorted(map(tuple, rules)) == sorted((kind, "%=>%") for kind in KINDS)
            assert await row.fetchval("SELECT count(*) FROM number_rule") == 12

        with_database(work)

    def test_every_account_of_one_statement_gets_its_rules(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await row.execute(
                "INSERT INTO account (code, kind, name, currency)"
                " SELECT 'CUST' || 1000 + n, 'customer', 'c', 'EUR' FROM generate_series(1, 50) AS n"
            )
            counts = await row.fetch("SELECT count(*) FROM number_rule GROUP BY account_id")
            assert [count for (count,) in counts] == [4] * 50

        with_database(work)

    def test_rules_go_with_their_owner(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
            await row.execute("DELETE FROM carrier")
            assert await row.fetchval("SELECT count(*) FROM number_rule") == 0

        with_database(work)

    RULES = (
        "%=>%", "44|%=>%", "44|%=>0044%", "44{4}|%=>%", "{10}%=>91%", "%=>919949800228", "44%", "44", "+44%=>%",
        "44|20%=>", "44{12}%", "44|{12}%=>%", "*9#=>1", "%=>+%", "44%=>+1", "44|=>1",
    )  # fmt: skip
    NO_RULES = (
        "44%%", "4%4", "44=>%%", "4a=>%", "44 =>%", "44=>%=>%", "4+4%", "4||%", "44{4}{5}%", "{4}44{5}%", "44{}%",
        "44{1234}%", "44=>%1", "44->%", "{4}|{5}%=>%", "44%\n", " 44%",
    )  # fmt: skip

    def test_rule_is_taken_when_it_has_the_form_of_one(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            await row.execute("DELETE FROM number_rule")
            taken = {
                rule: await is_taken(insert(row, "number_rule", account_id=account, kind="destination", rule=rule))
                for rule in (*self.RULES, *self.NO_RULES)
            }
            assert taken == {**dict.fromkeys(self.RULES, True), **dict.fromkeys(self.NO_RULES, False)}

        with_database(work)

    def test_cli_rule_always_rewrites_and_never_strips(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            for rule, taken in (("44%=>1", True), ("%=>44%", True), ("44%", False), ("44", False), ("4|%=>%", False)):
                assert await is_taken(insert(row, "number_rule", account_id=account, kind="cli", rule=rule)) is taken
            assert not await is_taken(insert(row, "number_rule", account_id=account, kind="other", rule="44%"))

        with_database(work)

    def test_rule_belongs_to_one_account_or_one_carrier(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            carrier = await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
            await insert(row, "number_rule", account_id=account, kind="cli", rule="44%=>1")
            for owners, kind in (
                ({}, "source"),
                ({"account_id": account, "carrier_id": carrier}, "source"),
                ({"carrier_id": carrier}, "cli"),
            ):
                with pytest.raises(REFUSED):
                    await insert(row, "number_rule", kind=kind, rule="44%=>2", **owners)

        with_database(work)

    def test_rule_is_there_once(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            accounts = [await make_account(row, code) for code in ("CUST0001", "CUST0002")]
            for account in accounts:
                await insert(row, "number_rule", account_id=account, kind="source", rule="44%")
            with pytest.raises(asyncpg.UniqueViolationError):
                await insert(row, "number_rule", account_id=accounts[0], kind="source", rule="44%")

        with_database(work)


class TestDevices:
    def test_extension_is_one_users_within_an_account(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            one, other = await make_account(row, "CUST0001"), await make_account(row, "CUST0002")
            for account, name, extension in (
                (one, "ann", ""),
                (one, "bob", ""),
                (one, "cat", "101"),
                (other, "dan", "101"),
            ):
                await make_user(row, account, name, extension)
            with pytest.raises(asyncpg.UniqueViolationError):
                await make_user(row, one, "eve", "101")
            with pytest.raises(asyncpg.UniqueViolationError):
                await row.execute("UPDATE sip_user SET extension = '101' WHERE username = 'ann'")

        with_database(work)

    def test_device_is_refused_when_calls_cannot_be_sent_to_it(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await make_device(row, await make_account(row, "CUST0001"), "192.0.2.1")
            for change in ("port = 0", "port = 65536", "transport = 'tls'", "transport = ''", "is_trusted = NULL"):
                with pytest.raises(REFUSED):
                    await row.execute(f"UPDATE ip_device SET {change}")

        with_database(work)


class TestRoutes:
    async def make_route(self, row: Rows) -> tuple[int, int]:
        carrier = await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
        return await insert(row, "route", name="standard"), carrier

    def test_entry_is_there_once_for_each_window(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            route, carrier = await self.make_route(row)
            values = {"route_id": route, "carrier_id": carrier, "prefix": "44"}
            await insert(row, "route_entry", **values)
            await insert(row, "route_entry", **values, hours_from=time(6))
            await insert(row, "route_entry", **values, days=1)
            with pytest.raises(asyncpg.UniqueViolationError):
                await insert(row, "route_entry", **values)

        with_database(work)

    def test_value_out_of_range_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            route, carrier = await self.make_route(row)
            await insert(row, "route_entry", route_id=route, carrier_id=carrier)
            for table, change in (
                ("route_entry", "days = 0"),
                ("route_entry", "days = 128"),
                ("route_entry", "hours_from = '24:00'"),
                ("route_entry", "hours_until = '24:00'"),
                ("route", "mode = 'random'"),
                ("route", "ring_failover = NULL"),
                ("carrier", "codecs = array_fill('PCMU'::text, ARRAY[33])"),
                ("carrier", "codecs = NULL"),
            ):
                with pytest.raises(REFUSED):
                    await row.execute(f"UPDATE {table} SET {change}")

        with_database(work)

    def test_zone_that_is_not_named_like_one_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await self.make_route(row)
            for zone in ("Europe/Atlantis", "CEST", "EST5EDT4", "utc", "", "Europe/berlin"):
                with pytest.raises((asyncpg.CheckViolationError, asyncpg.InvalidParameterValueError)):
                    await row.execute("UPDATE route SET zone = $1", zone)
            await row.execute("UPDATE route SET zone = 'America/Argentina/Buenos_Aires'")

        with_database(work)

    def test_pattern_is_taken_when_it_has_the_form_of_one(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            route, _ = await self.make_route(row)
            account = await make_account(row, "CUST0001")
            dialing = {
                "44|%": True,
                "{10}%": True,
                "*9#": True,
                "4%4": False,
                "4||%": False,
                "a%": False,
                "4=>%": False,
            }
            emergency = {"112": True, "911%": True, "%": False, "": False, "44|112": False}
            for table, owner, patterns in (
                ("dialing_route", {"account_id": account}, dialing),
                ("emergency_number", {}, emergency),
            ):
                taken = {
                    pattern: await is_taken(insert(row, table, pattern=pattern, route_id=route, **owner))
                    for pattern in patterns
                }
                assert taken == patterns

        with_database(work)

    def test_route_of_an_emergency_number_stays(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            route, _ = await self.make_route(row)
            await insert(row, "emergency_number", pattern="112", route_id=route)
            with pytest.raises(REFUSED):
                await row.execute("DELETE FROM route")

        with_database(work)

    def test_permission_goes_with_its_route(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            route, _ = await self.make_route(row)
            reseller = await make_account(row, "RESE0001")
            await row.execute("INSERT INTO reseller_route VALUES ($1, $2)", reseller, route)
            await row.execute("DELETE FROM route")
            assert await row.fetchval("SELECT count(*) FROM reseller_route") == 0

        with_database(work)


class TestDIDs:
    def test_number_that_is_not_e164_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            numbers = {
                "+4420": False,
                "44": False,
                "4" * 21: False,
                "44a0": False,
                "": False,
                "442": True,
                "4" * 20: True,
            }
            assert {number: await is_taken(make_did(row, None, number)) for number in numbers} == numbers

        with_database(work)

    def test_number_is_one_dids(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            await make_did(row, None)
            with pytest.raises(asyncpg.UniqueViolationError):
                await make_did(row, await make_account(row, "CUST0001"))

        with_database(work)

    def test_did_of_nobody_leads_nowhere(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            did = await make_did(row, None)
            with pytest.raises(asyncpg.CheckViolationError, match="must belong to an account"):
                await insert(row, "did_destination", did_id=did, kind="number", number="4420")

        with_database(work)

    def test_destination_of_another_account_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            parent = await make_account(row, "RESE0001")
            owner, other = await make_account(row, "CUST0001", parent), await make_account(row, "CUST0002", parent)
            did = await make_did(row, owner)
            for account, name, address in ((other, "bob", "192.0.2.1"), (parent, "eve", "192.0.2.2")):
                user, device = await make_user(row, account, name), await make_device(row, account, address)
                for values in (
                    {"kind": "sip_user", "sip_user_id": user},
                    {"kind": "voice_mail", "sip_user_id": user},
                    {"kind": "ip_device", "ip_device_id": device},
                ):
                    with pytest.raises(asyncpg.CheckViolationError, match="of the same account"):
                        await insert(row, "did_destination", did_id=did, **values)
            mine = await make_user(row, owner, "ann")
            await insert(row, "did_destination", did_id=did, kind="sip_user", sip_user_id=mine)
            with pytest.raises(asyncpg.CheckViolationError, match="of the same account"):
                await row.execute(
                    "UPDATE did_destination SET sip_user_id = (SELECT id FROM sip_user WHERE username = 'bob')"
                )

        with_database(work)

    def test_network_is_refused_as_destination(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            did = await make_did(row, account)
            for address in ("192.0.2.0/31", "192.0.2.0/24", "2001:db8::/64", "2001:db8::/32"):
                device = await make_device(row, account, address)
                with pytest.raises(asyncpg.CheckViolationError, match="cannot be sent to a network"):
                    await insert(row, "did_destination", did_id=did, kind="ip_device", ip_device_id=device)
            for priority, address in enumerate(("192.0.2.1", "2001:db8::1"), 1):
                device = await make_device(row, account, address)
                await insert(
                    row, "did_destination", did_id=did, priority=priority, kind="ip_device", ip_device_id=device
                )

        with_database(work)

    @pytest.mark.parametrize(
        "change", ["address = '192.0.2.0/24'", "account_id = (SELECT id FROM account WHERE code = 'CUST0002')"]
    )
    def test_device_that_a_did_leads_to_stays_one_address_of_the_same_account(
        self, with_database: Callable[[Work], None], change: str
    ) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            await make_account(row, "CUST0002")
            did, device = await make_did(row, account), await make_device(row, account, "192.0.2.1")
            await insert(row, "did_destination", did_id=did, kind="ip_device", ip_device_id=device)
            try:
                await row.execute(f"UPDATE ip_device SET {change}")
            except asyncpg.IntegrityConstraintViolationError:
                return
            assert await row.fetchval("SELECT count(*) FROM did_destination") == 0

        with_database(work)

    @pytest.mark.parametrize("to_nobody", [False, True])
    def test_did_that_changes_hands_forgets_its_destinations(
        self, with_database: Callable[[Work], None], to_nobody: bool
    ) -> None:
        async def work(row: Rows) -> None:
            owner, other = await make_account(row, "CUST0001"), await make_account(row, "CUST0002")
            moved, kept = await make_did(row, owner), await make_did(row, owner, "493012340001")
            for did in (moved, kept):
                await insert(row, "did_destination", did_id=did, kind="number", number="4420")
                await insert(row, "did_destination", did_id=did, priority=2, kind="extension", number="101")
            await row.execute("UPDATE did SET channels = 3, account_id = account_id")
            assert await row.fetchval("SELECT count(*) FROM did_destination") == 4
            await row.execute("UPDATE did SET account_id = $1 WHERE id = $2", None if to_nobody else other, moved)
            owners = await row.fetch("SELECT DISTINCT did_id FROM did_destination")
            assert [did for (did,) in owners] == [kept]

        with_database(work)

    def test_destination_that_does_not_fit_its_kind_is_refused(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            did, user = await make_did(row, account), await make_user(row, account, "ann")
            for kind in ("sip_user", "ip_device", "extension", "number", "voice_mail"):
                with pytest.raises(REFUSED):
                    await insert(row, "did_destination", did_id=did, kind=kind)
            for values in (
                {"kind": "sip_user", "number": "1"},
                {"kind": "number", "number": "sales"},
                {"kind": "number", "number": ""},
                {"kind": "number", "number": "1", "priority": 0},
                {"kind": "number", "number": "1", "priority": 3},
                {"kind": "queue", "number": "1"},
                {"kind": "number", "number": "1", "sip_user_id": user},
                {"kind": "ip_device", "sip_user_id": user},
            ):
                with pytest.raises(REFUSED):
                    await insert(row, "did_destination", did_id=did, **values)

        with_database(work)

    def test_did_leads_to_one_destination_of_each_priority(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            did = await make_did(row, await make_account(row, "CUST0001"))
            for priority in (1, 2):
                await insert(row, "did_destination", did_id=did, priority=priority, kind="number", number="1")
            with pytest.raises(asyncpg.UniqueViolationError):
                await insert(row, "did_destination", did_id=did, kind="number", number="2")

        with_database(work)

    def test_destinations_go_with_their_did_or_device(self, with_database: Callable[[Work], None]) -> None:
        async def work(row: Rows) -> None:
            account = await make_account(row, "CUST0001")
            did, user = await make_did(row, account), await make_user(row, account, "ann")
            await insert(row, "did_destination", did_id=did, kind="sip_user", sip_user_id=user)
            await row.execute("DELETE FROM sip_user")
            assert await row.fetchval("SELECT count(*) FROM did_destination") == 0
            await insert(row, "did_destination", did_id=did, kind="number", number="1")
            await row.execute("DELETE FROM did")
            assert await row.fetchval("SELECT count(*) FROM did_destination") == 0

        with_database(work)


@pytest.fixture
def old_url(servers: Servers, run: Run, database_url: str, tmp_path: Path) -> str:
    """A database of the schema before the complete policy, with rows."""
    for file in sorted(SCHEMA.glob("000[1-4]_*.sql")):
        (tmp_path / file.name).write_text(file.read_text())

    async def make() -> None:
        row = await asyncpg.connect(database_url)
        await row.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await migrate(database_url, tmp_path)
        reseller = await make_account(row, "RESE0001")
        account = await make_account(row, "CUST0001", reseller)
        carrier = await insert(row, "carrier", code="CARR0001", name="k", currency="EUR")
        for name in ("one", "two"):
            route = await insert(row, "route", name=name)
            await insert(row, "route_entry", route_id=route, carrier_id=carrier)
        await insert(row, "dialing_route", account_id=account, pattern="+44%", route_id=route)
        await row.close()

    run(make())
    return database_url


class TestUpgrade:
    """A system that runs goes on as before."""

    def test_accounts_and_carriers_get_their_rules_and_resellers_all_routes(self, old_url: str, run: Run) -> None:
        async def main() -> None:
            assert await migrate(old_url) >= 1
            row = await asyncpg.connect(old_url)
            assert await row.fetchval("SELECT count(*) FROM number_rule WHERE rule = '%=>%'") == 12
            permitted = await row.fetch(
                "SELECT code, route.name FROM reseller_route r JOIN account a ON a.id = r.account_id"
                " JOIN route ON route.id = r.route_id ORDER BY 2"
            )
            assert [tuple(each) for each in permitted] == [("RESE0001", "one"), ("RESE0001", "two")]
            await row.close()

        run(main())

    def test_dialing_pattern_with_a_plus_matches_on(self, old_url: str, run: Run) -> None:
        async def main() -> None:
            await migrate(old_url)
            row = await asyncpg.connect(old_url)
            patterns = [pattern for (pattern,) in await row.fetch("SELECT pattern FROM dialing_route")]
            await row.close()
            assert patterns == ["44%"]

        run(main())

    def test_two_users_of_one_extension_do_not_stop_the_upgrade(self, old_url: str, run: Run) -> None:
        async def main() -> None:
            row = await asyncpg.connect(old_url)
            account = await row.fetchval("SELECT id FROM account WHERE code = 'CUST0001'")
            for name in ("ann", "bob"):
                await make_user(row, account, name, "101")
            await row.close()
            assert await migrate(old_url) >= 1

        run(main())

    def test_odd_dialing_pattern_does_not_stop_the_upgrade(self, old_url: str, run: Run) -> None:
        async def main() -> None:
            row = await asyncpg.connect(old_url)
            await row.execute("UPDATE dialing_route SET pattern = '44+%'")
            await row.close()
            assert await migrate(old_url) >= 1

        run(main())
