"""The snapshot from a real PostgreSQL, and how it follows changes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import asyncpg
import pytest

from b2bua.policy.accounts import Account
from b2bua.policy.routes import Carrier, Route
from b2bua.policy.snapshot import Snapshot
from b2bua.policy.store import SnapshotStore
from b2bua.tasks import spawn, stop_all
from conf.settings import CallSettings, Settings
from rating.tariff import ALWAYS, FOREVER, Ratecard
from tests.support.policy import NOW, NUMBER, Connection, insert, insert_rate
from tests.support.servers import Run

PATIENCE = 4.0
"""Less than the store waits before it looks without having been told."""

Work = Callable[["Configuration", SnapshotStore, "Changes"], Awaitable[None]]


class Changes:
    """What the store's `changed` callback was told."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.snapshots: list[Snapshot] = []

    def __call__(self, snapshot: Snapshot) -> None:
        self.snapshots.append(snapshot)
        self._event.set()

    async def wait_for(self, condition: Callable[[Snapshot], bool], patience: float = PATIENCE) -> Snapshot:
        """Wait for a snapshot of which something holds."""
        async with asyncio.timeout(patience):
            while not (self.snapshots and condition(self.snapshots[-1])):
                self._event.clear()
                await self._event.wait()
        return self.snapshots[-1]


class Configuration:
    """The rows of one customer below one reseller, with everything that its calls need; ids by what they are."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def insert(self) -> None:
        """Insert it all."""
        row = self.connection
        self.ratecard = await insert(row, "ratecard", name="retail")
        self.other_ratecard = await insert(row, "ratecard", name="wholesale")
        incoming = await insert(row, "ratecard", name="incoming", direction="incoming")
        self.rate = await insert_rate(row, self.ratecard, "44", "0.0312345678", minimum=30, resolution=6)
        await insert_rate(row, self.other_ratecard, "44", "0.02")
        await insert_rate(row, incoming, "442", "9")
        self.tariff = await insert(row, "tariff", name="retail", kind="customer", currency="EUR")
        self.other_tariff = await insert(row, "tariff", name="wholesale", kind="carrier", currency="EUR")
        for tariff, ratecard, priority in (
            (self.tariff, self.ratecard, 2),
            (self.tariff, incoming, 0),
            (self.tariff, self.other_ratecard, 1),
            (self.other_tariff, self.other_ratecard, 1),
        ):
            await insert(row, "tariff_ratecard", tariff_id=tariff, ratecard_id=ratecard, priority=priority)
        self.reseller = await insert(
            row, "account", code="RESE0001", kind="reseller", name="r", currency="EUR", tariff_id=self.other_tariff
        )
        self.account = await insert(
            row,
            "account",
            code="CUST0001",
            kind="customer",
            name="c",
            currency="EUR",
            parent_id=self.reseller,
            tariff_id=self.tariff,
            decimals=6,
            rounding="CEIL",
            tax_flag="VAT",
            tax_percents=[Decimal("19"), Decimal("1.5")],
            tax_inclusive=True,
            max_sessions=5,
            cps=6,
            max_duration=700,
        )
        self.device = await insert(
            row, "ip_device", account_id=self.account, address="198.51.100.7/32", dial_prefix="+44%", max_sessions=3
        )
        self.user = await insert(
            row,
            "sip_user",
            account_id=self.account,
            username="alice",
            ha1_md5="a" * 32,
            address="203.0.113.0/24",
            cps=2,
        )
        self.carrier = await insert(
            row, "carrier", code="CARR0001", name="k", tariff_id=self.other_tariff, currency="EUR", max_sessions=50
        )
        self.gateway = await insert(
            row,
            "gateway",
            carrier_id=self.carrier,
            name="gw",
            host="gw.example.com",
            port=5070,
            transport="tcp",
            priority=2,
            weight=7,
            max_sessions=8,
            cps=9,
            invite_timeout=3,
            progress_timeout=4,
            ring_timeout=50,
            max_duration=600,
        )
        self.route = await insert(row, "route", name="standard")
        self.entry = await insert(
            row, "route_entry", route_id=self.route, prefix="44", carrier_id=self.carrier, priority=4, weight=5
        )
        await insert(row, "dialing_route", account_id=self.account, pattern="44%", route_id=self.route)
        await insert(row, "dialing_route", account_id=self.account, pattern="112", route_id=self.route)
        await insert(row, "emergency_number", pattern="110", route_id=self.route)
        await row.execute("INSERT INTO reseller_route VALUES ($1, $2)", self.reseller, self.route)
        self.did = await insert(row, "did", number="493012340000", account_id=self.account)
        await insert(row, "did_destination", did_id=self.did, kind="sip_user", sip_user_id=self.user)

    async def revision(self) -> int:
        """The newest revision."""
        revision: int = await self.connection.fetchval("SELECT revision FROM config_revision")
        return revision


@asynccontextmanager
async def opened(url: str, settings: Settings) -> AsyncIterator[tuple[Configuration, SnapshotStore, Changes]]:
    pool = await asyncpg.create_pool(url, min_size=1, max_size=3)
    connection = await asyncpg.connect(url)
    try:
        changes = Changes()
        yield Configuration(connection), SnapshotStore(pool, settings, changes), changes
    finally:
        await stop_all()
        await connection.close()
        pool.terminate()


@pytest.fixture
def with_store(run: Run, database_url: str) -> Callable[[Work], None]:
    """Run a test over a configuration and a store that is not open yet."""

    def start(work: Work) -> None:
        async def main() -> None:
            async with opened(database_url, Settings()) as (configuration, store, changes):
                await configuration.insert()
                await work(configuration, store, changes)

        run(main())

    return start


class TestLoad:
    def test_everything_is_loaded(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
            await store.open()
            (snapshot,) = changes.snapshots
            assert store.current is snapshot
            assert snapshot.revision == await rows.revision()
            self._check_account(rows, snapshot)
            self._check_devices(rows, snapshot)
            self._check_carrier(rows, snapshot)
            self._check_routes(rows, snapshot)

        with_store(work)

    def _check_account(self, rows: Configuration, snapshot: Snapshot) -> None:
        account = snapshot.accounts[rows.account]
        assert [each.code for each in account.chain] == ["CUST0001", "RESE0001"]
        assert (account.kind, account.status, account.currency) == ("customer", "active", "EUR")
        assert (account.max_sessions, account.cps, account.max_duration) == (5, 6, 700)
        assert (account.billing.decimals, account.billing.rounding) == (6, "CEIL")
        assert (list(account.billing.tax_percents), account.billing.tax_inclusive) == ([19, Decimal("1.5")], True)
        reseller = snapshot.accounts[rows.reseller]
        assert (reseller.max_sessions, reseller.cps, reseller.max_duration) == (None, None, None)
        assert (reseller.billing.decimals, reseller.billing.tax_percents) == (4, ())
        assert account.tariff is snapshot.tariffs[rows.tariff]
        rate = account.tariff.find(NUMBER, NOW)
        assert rate is not None
        # The incoming ratecard has the longer prefix and is not asked; the wholesale one has the better priority.
        assert rate.rate_per_minute == Decimal("0.02")
        (retail,) = [card for _, card, *_ in account.tariff.ratecards if card.id == rows.ratecard]
        (rate,) = retail.find(NUMBER, NOW)
        assert (rate.id, rate.rate_per_minute, rate.minimum, rate.resolution) == (
            rows.rate,
            Decimal("0.0312345678"),
            30,
            6,
        )

    def _check_devices(self, rows: Configuration, snapshot: Snapshot) -> None:
        device = snapshot.devices.find("198.51.100.7", NUMBER)
        assert device is not None
        assert (device.key, device.dial_prefix, device.status) == (f"ip:{rows.device}", "44", "active")
        assert device.account is snapshot.accounts[rows.account]
        assert snapshot.devices.find("198.51.100.7", "33") is None
        assert [level.max_sessions for level in device.limits.levels] == [3, 5, -1]
        user = snapshot.users.get("alice")
        assert user is not None
        assert (user.key, user.ha1_md5, user.network) == (f"user:{rows.user}", "a" * 32, "203.0.113.0/24")
        assert [level.cps for level in user.limits.levels] == [2, 6, -1]

    def _check_carrier(self, rows: Configuration, snapshot: Snapshot) -> None:
        carrier = snapshot.carriers[rows.carrier]
        assert (carrier.code, carrier.status, carrier.max_sessions, carrier.cps) == ("CARR0001", "active", 50, None)
        assert carrier.tariff is snapshot.tariffs[rows.other_tariff]
        (gateway,) = carrier.gateways
        assert (gateway.id, gateway.name, gateway.status) == (rows.gateway, "gw", "active")
        assert (gateway.host, gateway.port, gateway.transport) == ("gw.example.com", 5070, "tcp")
        assert (gateway.priority, gateway.weight, gateway.max_sessions, gateway.cps) == (2, 7, 8, 9)
        assert (gateway.invite_timeout, gateway.progress_timeout, gateway.ring_timeout) == (3, 4, 50)
        assert gateway.max_duration == 600
        assert [level.max_sessions for level in gateway.limits.levels] == [50, 8]

    def _check_routes(self, rows: Configuration, snapshot: Snapshot) -> None:
        patterns = snapshot.accounts[rows.account].patterns
        found = patterns.find(NUMBER)
        assert found is not None
        route = snapshot.routes[rows.route]
        assert found == (route, NUMBER, "44%")
        assert patterns.find("112") == (route, "112", "112")
        assert (patterns.find("1122"), patterns.find("33")) == (None, None)
        assert (route.id, route.name, route.status) == (rows.route, "standard", "active")
        (entry,) = route.find(NUMBER, NOW)
        assert (entry.id, entry.prefix, entry.priority, entry.weight) == (rows.entry, "44", 4, 5)
        assert entry.carrier is snapshot.carriers[rows.carrier]

    def test_empty_database_is_an_empty_snapshot(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url, Settings()) as (rows, store, _):
                await store.reload()
                assert store.current.revision == await rows.revision()
                assert (store.current.accounts, store.current.carriers, store.current.routes) == ({}, {}, {})
                assert store.current.users.get("alice") is None

        run(main())

    def test_limits_of_the_system_come_from_the_settings_and_the_realm_from_the_database(
        self, run: Run, database_url: str
    ) -> None:
        settings = replace(Settings(), call=CallSettings(max_duration=1234, max_attempts=3))

        async def main() -> None:
            async with opened(database_url, settings) as (rows, store, _):
                await rows.connection.execute("INSERT INTO system_value VALUES ('realm', 'installed.example')")
                await store.reload()
                snapshot = store.current
                assert (snapshot.max_duration, snapshot.max_attempts) == (1234, 3)
                assert snapshot.realm == "installed.example"

        run(main())

    def test_realm_comes_from_the_settings_when_the_database_has_none(self, run: Run, database_url: str) -> None:
        async def main() -> None:
            async with opened(database_url, Settings()) as (rows, store, _):
                await rows.connection.execute("DELETE FROM system_value")
                await store.reload()
                assert store.current.realm == Settings().sip.realm

        run(main())

    def test_tax_is_left_out_when_the_account_has_the_flag_none(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await rows.connection.execute("UPDATE account SET tax_flag = 'NONE'")
            await store.reload()
            assert store.current.accounts[rows.account].billing.tax_percents == ()

        with_store(work)

    def test_inactive_route_entry_is_not_loaded(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await rows.connection.execute("UPDATE route_entry SET status = 'inactive'")
            await store.reload()
            assert store.current.routes[rows.route].find(NUMBER, NOW) == []

        with_store(work)

    def test_dates_have_a_zone_when_they_are_infinite_or_not(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await insert_rate(rows.connection, rows.ratecard, "33", "1", valid_from=NOW)
            await insert_rate(rows.connection, rows.ratecard, "49", "1", valid_until=NOW)
            await store.reload()
            tariff = store.current.tariffs[rows.tariff]
            dates = {}
            for number, at in (("44", NOW), ("33", NOW), ("49", NOW - timedelta(days=1))):
                rate = tariff.find(number, at)
                assert rate is not None
                dates[number] = (rate.valid_from, rate.valid_until)
                assert rate.is_in_force(datetime.now(UTC)) is (number != "49")
            assert dates == {"44": (ALWAYS, FOREVER), "33": (NOW, FOREVER), "49": (ALWAYS, NOW)}
            assert tariff.find("49", NOW) is None

        with_store(work)


def ratecard(store: SnapshotStore, tariff: int, ratecard_id: int) -> Ratecard:
    """A ratecard as a tariff of the current snapshot has it."""
    (found,) = [card for _, card, *_ in store.current.tariffs[tariff].ratecards if card.id == ratecard_id]
    return found


async def follow(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
    """Open a store and wait until it listens: only NOTIFY brings it the next change before `PATIENCE` is over."""
    await store.open()
    first = store.current.revision
    await rows.connection.execute("INSERT INTO route (name) VALUES ('another')")
    await changes.wait_for(lambda snapshot: snapshot.revision > first)


class TestFollow:
    @pytest.mark.parametrize(
        ("statement", "holds"),
        [
            ("UPDATE account SET max_sessions = 77 WHERE code = 'CUST0001'", lambda s: 77 in sessions_of(s)),
            (
                "UPDATE account SET status = 'suspended'",
                lambda s: {a.status for a in s.accounts.values()} == {"suspended"},
            ),
            ("UPDATE tariff SET status = 'inactive'", lambda s: {t.status for t in s.tariffs.values()} == {"inactive"}),
            (
                "UPDATE gateway SET host = '192.0.2.9'",
                lambda s: carrier_of(s).gateways[0].host == "192.0.2.9",
            ),
            ("UPDATE carrier SET status = 'inactive'", lambda s: carrier_of(s).status == "inactive"),
            (
                "UPDATE ip_device SET address = '192.0.2.8/32'",
                lambda s: s.devices.find("192.0.2.8", NUMBER) is not None,
            ),
            ("DELETE FROM sip_user", lambda s: s.users.get("alice") is None),
            ("DELETE FROM dialing_route", lambda s: account_of(s).patterns.find(NUMBER) is None),
            ("UPDATE route SET status = 'inactive'", lambda s: route_of(s).status == "inactive"),
            ("UPDATE route_entry SET prefix = '33'", lambda s: route_of(s).find(NUMBER, NOW) == []),
            ("UPDATE rate SET rate_per_minute = 0.5", lambda s: price_of(s) == Decimal("0.5")),
            ("DELETE FROM tariff_ratecard", lambda s: price_of(s) is None),
            ("DELETE FROM ratecard", lambda s: price_of(s) is None),
        ],
    )
    def test_change_arrives_when_it_is_committed(
        self, with_store: Callable[[Work], None], statement: str, holds: Callable[[Snapshot], bool]
    ) -> None:
        async def work(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
            await follow(rows, store, changes)
            before = store.current
            assert not holds(before)
            await rows.connection.execute(statement)
            snapshot = await changes.wait_for(holds)
            assert store.current is snapshot is not before
            assert snapshot.revision == before.revision + 1 == await rows.revision()
            assert not holds(before)

        with_store(work)

    @pytest.mark.parametrize(
        ("statement", "holds"),
        [
            (
                "INSERT INTO number_rule (account_id, kind, rule)"
                " SELECT id, 'destination', '44%' FROM account WHERE kind = 'customer'",
                lambda s: rule_of(s) == ("BLOCKED", "44%"),
            ),
            ("UPDATE number_rule SET rule = '%=>9%' WHERE kind = 'destination'", lambda s: rule_of(s)[1] == "%=>9%"),
            ("DELETE FROM number_rule", lambda s: rule_of(s) == ("NONE", "")),
            (
                "WITH r AS (INSERT INTO route (name) VALUES ('new') RETURNING id)"
                " INSERT INTO reseller_route SELECT account.id, r.id FROM account, r WHERE kind = 'reseller'",
                lambda s: len(permitted_of(s)) == 2,
            ),
            (
                "UPDATE reseller_route SET route_id = (SELECT max(id) FROM route)",
                lambda s: permitted_of(s) == {max(s.routes)},
            ),
            ("DELETE FROM reseller_route", lambda s: not permitted_of(s)),
            ("INSERT INTO did (number) VALUES ('4420')", lambda s: "4420" in s.dids),
            ("UPDATE did SET number = '4421', channels = 3", lambda s: {d.channels for d in s.dids.values()} == {3}),
            ("DELETE FROM did", lambda s: s.dids == {}),
            (
                "INSERT INTO did_destination (did_id, priority, kind, number) SELECT id, 2, 'number', '+4420' FROM did",
                lambda s: leads_to(s) == ["sip_user", "number"],
            ),
            (
                "UPDATE did_destination SET kind = 'extension', sip_user_id = NULL, number = '101'",
                lambda s: leads_to(s) == ["extension"],
            ),
            ("DELETE FROM did_destination", lambda s: leads_to(s) == []),
            (
                "INSERT INTO emergency_number (pattern, route_id) SELECT '112%', min(id) FROM route",
                lambda s: s.emergency.find("112") is not None,
            ),
            ("UPDATE emergency_number SET pattern = '112'", lambda s: s.emergency.find("112") is not None),
            ("DELETE FROM emergency_number", lambda s: s.emergency.find("110") is None),
        ],
    )
    def test_change_of_what_decisions_need_arrives_when_it_is_committed(
        self, with_store: Callable[[Work], None], statement: str, holds: Callable[[Snapshot], bool]
    ) -> None:
        self.test_change_arrives_when_it_is_committed(with_store, statement, holds)

    def test_snapshot_stays_when_a_change_is_rolled_back(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
            await follow(rows, store, changes)
            before, count = store.current, len(changes.snapshots)
            transaction = rows.connection.transaction()
            await transaction.start()
            await rows.connection.execute("UPDATE account SET max_sessions = 77")
            await transaction.rollback()
            await rows.connection.execute("UPDATE account SET max_sessions = 78")
            snapshot = await changes.wait_for(lambda snapshot: 78 in sessions_of(snapshot))
            assert len(changes.snapshots) == count + 1
            assert snapshot.revision == before.revision + 1

        with_store(work)

    def test_snapshot_is_not_replaced_when_nothing_changed(self, with_store: Callable[[Work], None]) -> None:
        async def work(_: Configuration, store: SnapshotStore, changes: Changes) -> None:
            await store.open()
            before = store.current
            await store.reload()
            assert store.current is before
            assert len(changes.snapshots) == 1

        with_store(work)

    def test_snapshot_is_followed_again_when_the_connection_was_lost(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
            await store.open()
            await rows.connection.execute("UPDATE account SET max_sessions = 77")
            await changes.wait_for(lambda snapshot: 77 in sessions_of(snapshot))
            cut = await rows.connection.fetchval(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cut >= 1
            await rows.connection.execute("UPDATE account SET max_sessions = 78")
            # It looks for a new connection after a second.
            await changes.wait_for(lambda snapshot: 78 in sessions_of(snapshot), 10.0)

        with_store(work)


def sessions_of(snapshot: Snapshot) -> set[int | None]:
    return {account.max_sessions for account in snapshot.accounts.values()}


def carrier_of(snapshot: Snapshot) -> Carrier:
    return next(iter(snapshot.carriers.values()))


def route_of(snapshot: Snapshot) -> Route:
    return min(snapshot.routes.values(), key=lambda route: route.id)


def account_of(snapshot: Snapshot) -> Account:
    (account,) = [account for account in snapshot.accounts.values() if account.kind == "customer"]
    return account


def rule_of(snapshot: Snapshot) -> tuple[str, str]:
    verdict = account_of(snapshot).rules.destination.translate(NUMBER)
    return verdict.code, verdict.rule


def permitted_of(snapshot: Snapshot) -> frozenset[int]:
    (reseller,) = account_of(snapshot).chain[1:]
    return reseller.route_ids


def leads_to(snapshot: Snapshot) -> list[str]:
    (did,) = snapshot.dids.values()
    return [destination.kind for destination in did.destinations]


def price_of(snapshot: Snapshot) -> Decimal | None:
    account = account_of(snapshot)
    assert account.tariff is not None
    rate = account.tariff.find(NUMBER, NOW)
    return None if rate is None else rate.rate_per_minute


class TestRates:
    def test_rates_are_loaded_again_only_for_the_ratecard_that_changed(
        self, with_store: Callable[[Work], None]
    ) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await store.reload()
            retail, wholesale = (ratecard(store, rows.tariff, card) for card in (rows.ratecard, rows.other_ratecard))
            await insert_rate(rows.connection, rows.ratecard, "4420", "0.01")
            await store.reload()
            assert ratecard(store, rows.tariff, rows.other_ratecard) is wholesale
            changed = ratecard(store, rows.tariff, rows.ratecard)
            assert changed is not retail
            assert (len(retail.rates), len(changed.rates)) == (1, 2)

        with_store(work)

    def test_no_rate_is_loaded_again_when_something_else_changed(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await store.reload()
            cards = [ratecard(store, rows.tariff, card) for card in (rows.ratecard, rows.other_ratecard)]
            await rows.connection.execute("UPDATE account SET max_sessions = 1")
            await store.reload()
            assert [ratecard(store, rows.tariff, card.id) for card in cards] == cards
            assert all(ratecard(store, rows.tariff, card.id) is card for card in cards)

        with_store(work)

    def test_ratecard_is_known_when_it_and_its_rates_come_later(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await store.reload()
            async with rows.connection.transaction():
                card = await insert(rows.connection, "ratecard", name="new")
                await insert(rows.connection, "tariff_ratecard", tariff_id=rows.tariff, ratecard_id=card)
            await store.reload()
            assert ratecard(store, rows.tariff, card).rates == {}
            await insert_rate(rows.connection, card, "442", "0.001")
            await store.reload()
            assert price_of(store.current) == Decimal("0.001")

        with_store(work)

    def test_rate_is_gone_when_it_was_deleted(self, with_store: Callable[[Work], None]) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await store.reload()
            await rows.connection.execute("DELETE FROM rate WHERE ratecard_id = $1", rows.other_ratecard)
            await store.reload()
            assert price_of(store.current) == Decimal("0.0312345678")
            assert ratecard(store, rows.tariff, rows.other_ratecard).find(NUMBER, NOW) == []

        with_store(work)

    def test_rate_is_gone_from_its_ratecard_when_it_was_moved_to_another(
        self, with_store: Callable[[Work], None]
    ) -> None:
        async def work(rows: Configuration, store: SnapshotStore, _: Changes) -> None:
            await store.reload()
            await rows.connection.execute("UPDATE rate SET prefix = '4' WHERE ratecard_id = $1", rows.ratecard)
            await store.reload()
            await rows.connection.execute(
                "UPDATE rate SET ratecard_id = $1 WHERE ratecard_id = $2", rows.other_ratecard, rows.ratecard
            )
            await store.reload()
            assert ratecard(store, rows.tariff, rows.ratecard).find(NUMBER, NOW) == []
            assert len(ratecard(store, rows.tariff, rows.other_ratecard).rates) == 2

        with_store(work)


class TestRevision:
    """A snapshot is one revision and nothing of another."""

    def test_snapshot_is_of_one_revision_when_changes_come_while_it_is_loaded(
        self, with_store: Callable[[Work], None]
    ) -> None:
        async def work(rows: Configuration, store: SnapshotStore, changes: Changes) -> None:
            first = await rows.revision()
            await rows.connection.execute(
                "UPDATE account SET max_sessions = 0; UPDATE carrier SET max_sessions = 0;"
                "UPDATE ip_device SET max_sessions = 0"
            )

            async def change() -> int:
                number = 0
                # However slowly snapshots are made here, some of them come between two changes.
                while number < 40 or len(changes.snapshots) < 3:
                    number += 1
                    async with rows.connection.transaction():
                        for table in ("account", "carrier", "ip_device"):
                            await rows.connection.execute(f"UPDATE {table} SET max_sessions = $1", number)

                return number

            changing = spawn(change(), "changes")
            while not changing.done():
                await store.reload()
                await asyncio.sleep(0)
            made = await changing
            await store.reload()
            assert len(changes.snapshots) > 2
            for snapshot in changes.snapshots:
                device = snapshot.devices.find("198.51.100.7", NUMBER)
                assert device is not None
                carrier = snapshot.carriers[rows.carrier]
                assert {*sessions_of(snapshot), carrier.max_sessions, device.max_sessions} == {device.max_sessions}
            assert changes.snapshots[-1].revision == first + 1 + made

        with_store(work)
