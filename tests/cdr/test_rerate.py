"""Pricing calls again: pure, and against a real PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest

from cdr.journal import JournalWriter
from cdr.record import CARRIER_LEVEL
from cdr.rerate import Billings, Charged, Report, RerateRunning, reprice, rerate
from cdr.writer import Writer
from rating.ledger import balances_off
from rating.tariff import Rate, Ratecard, Tariff
from tests.support.records import make_billing, make_cdr_line, make_level, make_rate, make_record
from tests.support.servers import Run
from tests.support.traffic import differences

NOW = datetime.now(UTC).replace(microsecond=0)
CUSTOMER, RESELLER = 2, 1
CHARGED = Charged(
    UUID(int=1),
    1,
    NOW,
    0,
    CUSTOMER,
    None,
    1,
    7,
    60,
    Decimal("0.1"),
    Decimal(0),
    Decimal("0.1"),
    "EUR",
    Decimal("60.000"),
    "442",
)


def tariff(number: int, *rates: Rate, currency: str = "EUR") -> Tariff:
    made = Tariff(number, f"t{number}", currency)
    made.add(1, Ratecard.of(number, rates))
    return made


class TestReprice:
    def test_price_is_that_of_the_longest_prefix_today(self) -> None:
        deck = tariff(1, make_rate("0.1", "44", rate_id=7), make_rate("0.2", "442", rate_id=8))
        found = reprice(CHARGED, {1: deck}, Billings({CUSTOMER: make_billing(taxes=["10"])}))
        assert found is not None
        rate, price = found
        assert (rate.id, price.net, price.gross) == (8, Decimal("0.2"), Decimal("0.22"))

    def test_price_is_of_the_rate_in_force_when_the_call_came(self) -> None:
        deck = tariff(
            1,
            make_rate("0.1", "44", rate_id=7, valid_until=NOW),
            make_rate("0.3", "44", rate_id=9, valid_from=NOW, valid_until=NOW + timedelta(hours=1)),
            make_rate("0.5", "44", rate_id=10, valid_from=NOW + timedelta(hours=1)),
        )
        billings = Billings({CUSTOMER: make_billing()})
        for moment, rate_id in ((NOW - timedelta(seconds=1), 7), (NOW, 9), (NOW + timedelta(hours=1), 10)):
            found = reprice(replace(CHARGED, received_at=moment), {1: deck}, billings)
            assert found is not None
            assert found[0].id == rate_id

    @pytest.mark.parametrize(("duration", "billed"), [("0.000", 1), ("0.001", 1), ("59.999", 60), ("60.001", 61)])
    def test_seconds_are_rounded_up(self, duration: str, billed: int) -> None:
        found = reprice(
            replace(CHARGED, duration=Decimal(duration)),
            {1: tariff(1, make_rate())},
            Billings({CUSTOMER: make_billing()}),
        )
        assert found is not None
        assert found[1].billed_seconds == billed

    def test_leading_plus_is_no_part_of_the_number(self) -> None:
        deck = {1: tariff(1, make_rate("0.1", "44"))}
        assert reprice(replace(CHARGED, number="+442"), deck, Billings({CUSTOMER: make_billing()})) is not None

    def test_carrier_is_priced_to_the_last_digit_unless_it_rounds(self) -> None:
        charged = replace(CHARGED, level=CARRIER_LEVEL, account_id=None, carrier_id=3, duration=Decimal(1))
        for billings, gross in ((Billings({}), "0.0166666667"), (Billings({}, {3: make_billing(decimals=2)}), "0.02")):
            found = reprice(charged, {1: tariff(1, make_rate("1"))}, billings)
            assert found is not None
            assert found[1].gross == Decimal(gross)

    @pytest.mark.parametrize(
        ("deck", "billings"),
        [
            ({}, Billings({CUSTOMER: make_billing()})),
            ({1: tariff(1, make_rate())}, Billings({})),
            ({1: tariff(1, make_rate("1", "49"))}, Billings({CUSTOMER: make_billing()})),
            ({1: tariff(1, make_rate("1", "44", status="blocked"))}, Billings({CUSTOMER: make_billing()})),
            ({1: tariff(1, make_rate(), currency="USD")}, Billings({CUSTOMER: make_billing()})),
        ],
        ids=["no tariff", "no account", "no rate", "blocked", "other currency"],
    )
    def test_there_is_no_price_without(self, deck: dict[int, Tariff], billings: Billings) -> None:
        assert reprice(CHARGED, deck, billings) is None


TARIFFS = {
    1: tariff(1, make_rate("0.10", "44", rate_id=1)),
    2: tariff(2, make_rate("0.08", "44", rate_id=2)),
    3: tariff(3, make_rate("0.05", "44", rate_id=3)),
}
BILLINGS = Billings({CUSTOMER: make_billing(), RESELLER: make_billing()})


class Books:
    """Calls of a customer below a reseller, a minute each, at 0.10 and 0.08 with the carrier at 0.05."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection

    async def fill(self, directory: Path, calls: int) -> None:
        await self.connection.execute(
            """
            INSERT INTO account (code, kind, name, currency) VALUES ('RESL0001', 'reseller', 'R', 'EUR');
            INSERT INTO account (code, kind, name, currency, parent_id) VALUES ('CUST0001', 'customer', 'C', 'EUR', 1);
            """
        )
        journal = JournalWriter(directory / "sip-1", "sip-1", "run", segment_size=1 << 20, sync_interval=0.01)
        journal.open(0.0, [])
        rates = [each.find("44", NOW) for each in TARIFFS.values()]
        for number in range(1, calls + 1):
            at = (NOW - timedelta(minutes=number)).timestamp()
            record = make_record(
                number, received_at=at, answered_at=at, account_id=CUSTOMER, account_chain=[2, 1],
                destination_received="+442079460000",
            )  # fmt: skip
            levels = [
                make_level(0, rates[0], account_id=CUSTOMER, tariff_id=1),
                make_level(1, rates[1], account_id=RESELLER, tariff_id=2),
                make_level(
                    CARRIER_LEVEL, rates[2], make_billing(decimals=10), account_id=None, carrier_id=1, tariff_id=3
                ),
            ]
            journal.append(make_cdr_line(record, levels))
        journal.close(0.0)
        writer = Writer(directory, "node1", 1000)
        await writer.prepare(self.connection)
        while await writer.step(self.connection):
            pass

    async def rerate(
        self, tariffs: dict[int, Tariff] | None = None, *, minutes: int = 10_000, is_dry_run: bool = False
    ) -> Report:
        return await rerate(
            self.connection,
            tariffs or TARIFFS,
            BILLINGS,
            since=NOW - timedelta(minutes=minutes),
            is_dry_run=is_dry_run,
        )

    async def sums(self) -> tuple[Decimal, Decimal, Decimal, Decimal]:
        """What the customer, the reseller and the carrier are charged, and the gross of all records."""
        row = await self.connection.fetchrow(
            """
            SELECT sum(gross) FILTER (WHERE level = 0), sum(gross) FILTER (WHERE level = 1),
                sum(gross) FILTER (WHERE level = -1), (SELECT sum(gross) FROM cdr)
            FROM cdr_charge
            """
        )
        assert row is not None
        return tuple(row)

    async def balances(self) -> list[Decimal]:
        rows = await self.connection.fetch("SELECT balance FROM account_balance ORDER BY account_id DESC")
        return [row["balance"] for row in rows]

    async def corrections(self) -> list[tuple[int, Decimal]]:
        rows = await self.connection.fetch(
            "SELECT account_id, amount FROM ledger_entry WHERE kind = 'correction' ORDER BY id"
        )
        return [tuple(row) for row in rows]


@asynccontextmanager
async def books(url: str, directory: Path, calls: int = 10) -> AsyncIterator[Books]:
    connection = await asyncpg.connect(url)
    try:
        made = Books(connection)
        await made.fill(directory, calls)
        yield made
    finally:
        await connection.close()


DEARER = {
    **TARIFFS,
    1: tariff(1, make_rate("0.12", "44", rate_id=11)),
    3: tariff(3, make_rate("0.04", rate_id=13)),
}


class TestRerate:
    def test_nothing_changes_when_the_rates_are_the_same(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                report = await made.rerate()
                assert (report.changed, report.corrections) == (0, [])
                assert {line.calls for line in report.lines.values()} == {10}
                assert await made.corrections() == []

        run(work())

    def test_difference_is_charged_and_corrected_once(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                report = await made.rerate(DEARER)
                own = report.lines[CUSTOMER, None, 0, "EUR"]
                assert (own.calls, own.old, own.new, own.difference) == (
                    10,
                    Decimal("1"),
                    Decimal("1.2"),
                    Decimal("0.2"),
                )
                assert report.lines[RESELLER, None, 1, "EUR"].changed == 0
                assert report.lines[None, 1, CARRIER_LEVEL, "EUR"].difference == Decimal("-0.1")
                assert await made.sums() == (Decimal("1.2"), Decimal("0.8"), Decimal("0.4"), Decimal("1.2"))
                assert await made.balances() == [Decimal("-1.2"), Decimal("-0.8")]
                assert await made.corrections() == [(CUSTOMER, Decimal("-0.2"))]
                assert await balances_off(made.connection) == []
                assert await differences(made.connection) == []
                again = await made.rerate(DEARER)
                assert (again.changed, again.corrections) == (0, [])
                back = await made.rerate()
                assert back.changed == 20
                assert await made.balances() == [Decimal("-1"), Decimal("-0.8")]
                assert await made.corrections() == [(CUSTOMER, Decimal("-0.2")), (CUSTOMER, Decimal("0.2"))]

        run(work())

    def test_dry_run_reports_the_same_and_changes_nothing(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                before = await made.sums(), await made.balances()
                tried = await made.rerate(DEARER, is_dry_run=True)
                assert (await made.sums(), await made.balances()) == before
                assert await made.corrections() == []
                assert tried == await made.rerate(DEARER)

        run(work())

    def test_only_calls_of_the_span_are_priced(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                report = await made.rerate(DEARER, minutes=4)
                assert report.lines[CUSTOMER, None, 0, "EUR"].calls == 4
                rest = await rerate(
                    made.connection,
                    DEARER,
                    BILLINGS,
                    since=NOW - timedelta(days=1),
                    until=NOW - timedelta(minutes=4),
                )
                assert rest.lines[CUSTOMER, None, 0, "EUR"].calls == 6
                assert await made.sums() == (Decimal("1.2"), Decimal("0.8"), Decimal("0.4"), Decimal("1.2"))

        run(work())

    def test_only_calls_of_the_accounts_are_priced(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                since = NOW - timedelta(days=1)
                none = await rerate(made.connection, DEARER, BILLINGS, since=since, account_ids=[RESELLER])
                assert none.lines == {}

        run(work())

    def test_call_without_a_rate_today_keeps_its_price(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                report = await made.rerate({2: TARIFFS[2], 3: TARIFFS[3]})
                line = report.lines[CUSTOMER, None, 0, "EUR"]
                assert (line.unpriced, line.difference) == (10, Decimal(0))
                assert await made.balances() == [Decimal("-1"), Decimal("-0.8")]

        run(work())

    def test_all_calls_are_priced_when_they_are_more_than_one_piece(
        self, database_url: str, run: Run, tmp_path: Path
    ) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path, calls=900) as made:
                report = await made.rerate(DEARER)
                assert report.changed == 1800
                assert await made.sums() == (Decimal(108), Decimal(72), Decimal(36), Decimal(108))
                assert await balances_off(made.connection) == []

        run(work())

    def test_second_run_is_refused_while_one_runs(self, database_url: str, run: Run, tmp_path: Path) -> None:
        async def work() -> None:
            async with books(database_url, tmp_path) as made:
                other = await asyncpg.connect(database_url)
                async with other.transaction():
                    await other.execute("SELECT pg_advisory_xact_lock(5060117004)")
                    with pytest.raises(RerateRunning):
                        await made.rerate(DEARER)
                    await made.rerate(DEARER, is_dry_run=True)
                await other.close()

        run(work())
