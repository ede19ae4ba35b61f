"""The keeper: real PostgreSQL figures in a real Valkey, and when they may be there (docs/behaviour.md §7)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from decimal import Decimal

import asyncpg
import pytest

from b2bua.tasks import spawn
from cdr.keeper import LOADED_KEY, FundsKeeper
from rating.funds import funds_key, posted_key, worker_key
from rating.ledger import Usage, post_payment, post_usage, take_back_expired_credit
from tests.support.live import Store, store_at
from tests.support.servers import Run

Connection = asyncpg.Connection

PATIENCE = 10.0
MILLION = 1_000_000


class Machine:
    """What the keeper asks of its machine, and how often it has asked."""

    def __init__(self, *workers: str, backlog: int = 0) -> None:
        self.workers = list(workers)
        self.bytes = backlog
        self._asked = asyncio.Condition()
        self._looks = 0

    def live_workers(self) -> list[str]:
        """Names of the workers that run."""
        return self.workers

    def backlog(self) -> int:
        """Bytes that are not posted."""
        self._looks += 1
        return self.bytes

    async def looked(self, times: int = 3) -> None:
        """Wait until the keeper has looked so often from now on."""
        until = self._looks + times
        async with asyncio.timeout(PATIENCE):
            while self._looks < until:  # noqa: ASYNC110 - the keeper is asked for nothing
                await asyncio.sleep(0.01)


@asynccontextmanager
async def keeping(
    database_url: str, live_url: str, machine: Machine | None = None
) -> AsyncIterator[tuple[FundsKeeper, "asyncio.Task[None]"]]:
    """A keeper that runs."""
    machine = machine or Machine()
    keeper = FundsKeeper(live_url, machine.live_workers, machine.backlog)
    connection = await asyncpg.connect(database_url, server_settings={"statement_timeout": "3s"})
    task = spawn(keeper.run(connection), "funds")
    try:
        yield keeper, task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            async with asyncio.timeout(PATIENCE):
                await task
        connection.terminate()
        await keeper.close()


async def loaded(keeper: FundsKeeper) -> None:
    async with asyncio.timeout(PATIENCE):
        await keeper.is_loaded.wait()


async def until(condition: Callable[[], object]) -> None:
    """Look until a condition holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what the store holds has no event
            await asyncio.sleep(0.01)


async def make_account(connection: Connection, code: str, parent_id: int | None = None, **columns: object) -> int:
    account_id: int = await connection.fetchval(
        "INSERT INTO account (code, kind, name, currency, parent_id) VALUES ($1, $2, 'test', 'EUR', $3) RETURNING id",
        code,
        "reseller" if code.startswith("RESE") else "customer",
        parent_id,
    )
    for name, value in columns.items():
        await connection.execute(f"UPDATE account SET {name} = $1 WHERE id = $2", value, account_id)
    return account_id


async def make_chain(connection: Connection) -> tuple[int, int, int]:
    """A reseller, a reseller below it and a customer below that, with 100, 10 and 1 each."""
    top = await make_account(connection, "RESE0001")
    middle = await make_account(connection, "RESE0002", top)
    customer = await make_account(connection, "CUST0001", middle)
    for code, amount in (("RESE0001", "100"), ("RESE0002", "10"), ("CUST0001", "1")):
        await post_payment(connection, code, Decimal(amount), reference=None)
    return top, middle, customer


def base(store: Store, top: int, account: int) -> int | None:
    """What the store says that an account may spend."""
    figure = store.hash(funds_key(top, account)).get("base")
    return None if figure is None else int(figure)


class TestLoad:
    def test_all_accounts_have_their_figures_when_the_keeper_has_started(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, middle, customer = await make_chain(connection)
            other = await make_account(connection, "CUST0002")
            await post_payment(connection, "CUST0002", Decimal("0.1234567"), reference=None)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    figures = [base(store, top, account) for account in (top, middle, customer)]
                    assert figures == [100 * MILLION, 10 * MILLION, MILLION]
                    assert base(store, other, other) == 123_456  # rounded down
                    assert store.keys("funds:*") == sorted(
                        [funds_key(top, each) for each in (top, middle, customer)] + [funds_key(other, other)]
                    )
                    assert store("EXISTS", LOADED_KEY) == 1
            await connection.close()

        run(main())

    def test_every_account_has_its_figure_when_there_are_more_than_fit_one_write(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await connection.execute(
                "INSERT INTO account (code, kind, name, currency)"
                " SELECT 'CUST' || lpad(n::text, 4, '0'), 'customer', 'test', 'EUR' FROM generate_series(1, 2500) AS n"
            )
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    assert len(store.keys("funds:*")) == 2500
            await connection.close()

        run(main())

    def test_overdrawn_balance_is_rounded_down_away_from_zero(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            await post_payment(connection, "CUST0001", Decimal("0.0000001"), kind="charge", reference=None)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    assert base(store, account, account) == -1
            await connection.close()

        run(main())


class TestNews:
    def test_payment_arrives_when_it_is_booked(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, _, customer = await make_chain(connection)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    await post_payment(connection, "CUST0001", Decimal("2.5"), reference=None)
                    await until(lambda: base(store, top, customer) == 3_500_000)
            await connection.close()

        run(main())

    def test_debits_and_a_new_account_arrive_too(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, _, customer = await make_chain(connection)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    await post_usage(connection, [Usage(customer, Decimal("0.25"), "EUR", 1)])
                    await until(lambda: base(store, top, customer) == 750_000)
                    new = await make_account(connection, "CUST0009", top)
                    await until(lambda: base(store, top, new) == 0)
            await connection.close()

        run(main())

    def test_last_figure_stands_when_many_changes_come_at_once(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, _, customer = await make_chain(connection)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    for _ in range(200):
                        await post_payment(connection, "CUST0001", Decimal("0.01"), reference=None)
                    await until(lambda: base(store, top, customer) == 3 * MILLION)
            await connection.close()

        run(main())

    def test_holds_and_debts_stay_when_the_figure_changes(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, _, customer = await make_chain(connection)
            key = funds_key(top, customer)
            with store_at(live_url) as store:
                store("HSET", key, "h:sip-1:a", 5, "p:sip-1:a", 6)
                async with keeping(database_url, live_url) as (keeper, _):
                    await loaded(keeper)
                    await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                    await until(lambda: base(store, top, customer) == 2 * MILLION)
                    fields = store.hash(key)
                    assert (fields["h:sip-1:a"], fields["p:sip-1:a"]) == ("5", "6")
            await connection.close()

        run(main())

    def test_older_version_never_replaces_a_newer_one(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, middle, customer = await make_chain(connection)
            version = await connection.fetchval("SELECT version FROM account_balance WHERE account_id = $1", customer)
            with store_at(live_url) as store:
                store("HSET", funds_key(top, customer), "base", 42, "version", version + 1)
                store("HSET", funds_key(top, middle), "base", 42, "version", 0)
                async with keeping(database_url, live_url) as (keeper, _):
                    await loaded(keeper)
                    assert (base(store, top, customer), base(store, top, middle)) == (42, 10 * MILLION)
                    # The next change brings that version, the one after it a newer one.
                    for _ in range(2):
                        await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                    await until(lambda: base(store, top, customer) == 3 * MILLION)
            await connection.close()

        run(main())

    def test_version_grows_with_every_change_of_what_may_be_spent(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, _, customer = await make_chain(connection)
            query = "SELECT version FROM account_balance WHERE account_id = $1"
            versions = [await connection.fetchval(query, customer)]
            for statement in (
                "UPDATE account SET credit_limit = 5 WHERE id = $1",
                "UPDATE account SET billing_type = 'postpaid' WHERE id = $1",
                f"UPDATE account SET parent_id = {top} WHERE id = $1",
                "UPDATE account_balance SET balance = balance WHERE account_id = $1",
            ):
                await connection.execute(statement, customer)
                versions.append(await connection.fetchval(query, customer))
            assert versions == sorted(set(versions))
            await connection.close()

        run(main())


@asynccontextmanager
async def owing(
    database_url: str, live_url: str, **owed: int
) -> AsyncIterator[tuple[Connection, Store, FundsKeeper, tuple[int, int]]]:
    """A loaded keeper, and a customer with 1.00 (the top of its chain, its id) of whom 0.40 was just posted.

    Args:
        database_url: The database.
        live_url: The live store.
        owed: Micros that runs held (`h`) and owed (`p`) of the customer meanwhile.
    """
    connection = await asyncpg.connect(database_url)
    top, _, customer = await make_chain(connection)
    with store_at(live_url) as store:
        async with keeping(database_url, live_url) as (keeper, _):
            await loaded(keeper)
            for kind, amount in owed.items():
                store("HSET", funds_key(top, customer), f"{kind}:sip-1:a", amount)
            await post_usage(connection, [Usage(customer, Decimal("0.4"), "EUR", 1)])
            yield connection, store, keeper, (top, customer)
    await connection.close()


class TestPosting:
    """A debit that was posted is still owed by a worker for a moment."""

    def test_debit_never_counts_twice_when_a_worker_still_owes_it(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            async with owing(database_url, live_url, p=400_000) as (connection, store, keeper, (top, customer)):
                keeper.posted("sip-1", (3, 4567), {customer})
                await until(lambda: store("GET", posted_key("sip-1")))
                fields = store.hash(funds_key(top, customer))
                assert (fields["base"], fields["next"]) == (str(MILLION), "600000")
                # A payment counts at once.
                await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                await until(lambda: base(store, top, customer) == 1_600_000)
                assert "next" not in store.hash(funds_key(top, customer))

        run(main())

    @pytest.mark.parametrize("owed", [{"h": 5}, {"p": 1}], ids=["nobody owes", "the worker that owes is gone"])
    def test_figure_comes_in_force_when_no_worker_takes_it_over(
        self, run: Run, database_url: str, live_url: str, owed: dict[str, int]
    ) -> None:
        async def main() -> None:
            async with owing(database_url, live_url, **owed) as (_, store, _, chain):
                await until(lambda: base(store, *chain) == 600_000)
                assert set(store.hash(funds_key(*chain))) == {"base", "version", *(f"{kind}:sip-1:a" for kind in owed)}

        run(main())

    def test_positions_are_in_the_store_when_a_keeper_has_loaded(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            await connection.execute(
                "INSERT INTO journal_position (worker, segment, \"offset\") VALUES ('sip-1', 2, 30)"
            )
            with store_at(live_url) as store:
                async with keeping(database_url, live_url) as (keeper, _):
                    await loaded(keeper)
                    assert store("GET", posted_key("sip-1")) == "2:30"
            await connection.close()

        run(main())


class TestCredit:
    def test_credit_limit_counts_when_the_account_is_postpaid(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            postpaid = await make_account(connection, "CUST0001", billing_type="postpaid", credit_limit=Decimal(50))
            prepaid = await make_account(connection, "CUST0002", billing_type="prepaid", credit_limit=Decimal(50))
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    assert base(store, postpaid, postpaid) == 50 * MILLION
                    assert base(store, prepaid, prepaid) == 0
                    await connection.execute("UPDATE account SET credit_limit = 70 WHERE id = $1", postpaid)
                    await until(lambda: base(store, postpaid, postpaid) == 70 * MILLION)
                    await connection.execute("UPDATE account SET billing_type = 'postpaid' WHERE id = $1", prepaid)
                    await until(lambda: base(store, prepaid, prepaid) == 50 * MILLION)
            await connection.close()

        run(main())

    def test_granted_credit_counts_until_it_has_expired(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            await post_payment(connection, "CUST0001", Decimal(10), reference=None)
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    expires_at = await connection.fetchval("SELECT now()")
                    await post_payment(
                        connection, "CUST0001", Decimal(5), kind="credit", reference=None, expires_at=expires_at
                    )
                    await until(lambda: base(store, account, account) == 15 * MILLION)
                    assert await take_back_expired_credit(connection) == 1
                    await until(lambda: base(store, account, account) == 10 * MILLION)
            await connection.close()

        run(main())


class TestNewParent:
    def test_figures_move_with_the_account_and_all_below_it_when_it_gets_another_parent(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, middle, customer = await make_chain(connection)
            other = await make_account(connection, "RESE0009")
            async with keeping(database_url, live_url) as (keeper, _):
                await loaded(keeper)
                with store_at(live_url) as store:
                    await connection.execute("UPDATE account SET parent_id = $1 WHERE id = $2", other, middle)
                    await until(
                        lambda: (base(store, other, middle), base(store, other, customer)) == (10 * MILLION, MILLION)
                    )
                    await connection.execute("UPDATE account SET parent_id = NULL WHERE id = $1", customer)
                    await until(lambda: base(store, customer, customer) == MILLION)
                    await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                    await until(lambda: base(store, customer, customer) == 2 * MILLION)
                    assert base(store, top, top) == 100 * MILLION
            await connection.close()

        run(main())


class TestLostData:
    def test_nothing_is_loaded_until_the_journals_are_posted_and_every_worker_is_back_when_the_store_lost_its_data(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            top, middle, customer = await make_chain(connection)
            machine = Machine("sip-1", "sip-2")
            with store_at(live_url) as store:
                for name in machine.workers:
                    store("SET", worker_key(name), f"{name}:a")
                async with keeping(database_url, live_url, machine) as (keeper, _):
                    await loaded(keeper)
                    machine.bytes = 100
                    store("FLUSHALL")
                    await machine.looked()
                    store("SET", worker_key("sip-1"), "sip-1:a")
                    store("SET", worker_key("sip-2"), "sip-2:a")
                    await machine.looked()
                    assert store.keys("funds*") == []
                    store("DEL", worker_key("sip-2"))
                    machine.bytes = 0
                    await machine.looked()
                    assert store.keys("funds*") == []
                    # News must not bring a figure either.
                    await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                    await machine.looked()
                    assert store.keys("funds*") == []
                    store("SET", worker_key("sip-2"), "sip-2:b")
                    await until(lambda: store("EXISTS", LOADED_KEY))
                    figures = [base(store, top, account) for account in (top, middle, customer)]
                    assert figures == [100 * MILLION, 10 * MILLION, 2 * MILLION]
            await connection.close()

        run(main())

    def test_worker_that_no_longer_runs_is_not_waited_for(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            machine = Machine("sip-1")
            with store_at(live_url) as store:
                async with keeping(database_url, live_url, machine) as (keeper, _):
                    await machine.looked()
                    assert not keeper.is_loaded.is_set()
                    assert base(store, account, account) is None
                    machine.workers.clear()
                    await loaded(keeper)
                    assert base(store, account, account) == 0
            await connection.close()

        run(main())

    def test_figures_are_loaded_at_once_when_a_keeper_starts_on_a_store_that_has_them(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            await post_payment(connection, "CUST0001", Decimal(1), reference=None)
            with store_at(live_url) as store:
                store("SET", LOADED_KEY, "1")
                async with keeping(database_url, live_url, Machine("sip-1", backlog=100)) as (keeper, _):
                    await loaded(keeper)
                    assert base(store, account, account) == MILLION
            await connection.close()

        run(main())


class TestLostConnection:
    def test_keeper_ends_when_its_database_connection_is_lost(self, run: Run, database_url: str, live_url: str) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            async with keeping(database_url, live_url) as (keeper, task):
                await loaded(keeper)
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                    async with asyncio.timeout(PATIENCE):
                        await task
            await connection.close()

        run(main())

    def test_changes_are_not_lost_when_they_came_while_no_keeper_ran(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            with store_at(live_url) as store:
                async with keeping(database_url, live_url) as (keeper, _):
                    await loaded(keeper)
                await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                assert base(store, account, account) == 0
                async with keeping(database_url, live_url) as (keeper, _):
                    await until(lambda: base(store, account, account) == MILLION)
            await connection.close()

        run(main())

    def test_figures_arrive_when_the_live_store_was_cut_off_for_a_moment(
        self, run: Run, database_url: str, live_url: str
    ) -> None:
        async def main() -> None:
            connection = await asyncpg.connect(database_url)
            account = await make_account(connection, "CUST0001")
            with store_at(live_url) as store:
                async with keeping(database_url, live_url) as (keeper, _):
                    await loaded(keeper)
                    store.cut_others()
                    await post_payment(connection, "CUST0001", Decimal(1), reference=None)
                    await until(lambda: base(store, account, account) == MILLION)
            await connection.close()

        run(main())
