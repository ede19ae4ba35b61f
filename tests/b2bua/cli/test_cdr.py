"""`softswitch cdr`: time spans, filters, pages, and the charges of every level."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
import typer

from b2bua.cli.cdr import parse_since
from rating.ledger import Connection
from tests.b2bua.cli.command_line import CommandLine

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
CALLS = [UUID(int=number) for number in range(1, 5)]


class TestSince:
    @pytest.mark.parametrize(
        ("text", "ago"),
        [
            ("30s", timedelta(seconds=30)),
            ("10m", timedelta(minutes=10)),
            ("2h", timedelta(hours=2)),
            ("1d", timedelta(days=1)),
            ("1w", timedelta(days=7)),
            ("2026-01-31T11:00", timedelta(hours=1)),
            ("2026-01-31T11:00:00Z", timedelta(hours=1)),
            ("2026-01-31T11:00+01:00", timedelta(hours=2)),
            ("2026-01-30", timedelta(hours=36)),
        ],
    )
    def test_span_or_time_is_read(self, text: str, ago: timedelta) -> None:
        assert parse_since(text, NOW) == NOW - ago

    @pytest.mark.parametrize("text", ["", "10", "m", "10x", "-1h", "yesterday", "999999d", "999999w"])
    def test_other_text_is_refused(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            parse_since(text, NOW)


async def fill(connection: Connection) -> None:
    """Four calls, a minute apart: two attempts and charges; refused; the reseller's own; long ago."""
    now = await connection.fetchval("SELECT now()")
    await connection.execute("SELECT cdr_ensure_partition(now()), cdr_ensure_partition(now() - interval '3 days')")
    rows = [
        (CALLS[0], 1, False, now - timedelta(minutes=3), "DEMO0002", "CARR0001", 503, "CARRIER_FAILED"),
        (CALLS[0], 2, True, now - timedelta(minutes=3), "DEMO0002", "CARR0002", 200, "ANSWERED"),
        (CALLS[1], 0, True, now - timedelta(minutes=2), "DEMO0003", None, 402, "NO_FUNDS"),
        (CALLS[2], 0, True, now - timedelta(minutes=1), "DEMO0001", None, 402, "NO_FUNDS"),
        (CALLS[3], 0, True, now - timedelta(days=3), "DEMO0002", None, 404, "NO_ROUTE"),
    ]
    await connection.executemany(
        """
        INSERT INTO cdr (call_id, attempt, is_last, received_at, ended_at, duration, account_id, account_chain,
            carrier_id, worker, a_call_id, a_address, a_transport, sip_code, code, ended_by, source_received,
            destination_received, gross, currency)
        SELECT $1, $2, $3, $4, $4, 1.5, account.id, ARRAY[account.id] || coalesce(ARRAY[account.parent_id], '{}'),
            (SELECT id FROM carrier WHERE carrier.code = $6), 'sip-1', 'a@b', '127.0.0.1:5060', 'udp', $7, $8, 'caller',
            '+441', '442', 0.06, 'EUR'
        FROM account WHERE account.code = $5
        """,
        rows,
    )
    await connection.execute(
        """
        INSERT INTO cdr_charge (call_id, attempt, received_at, level, account_id, carrier_id, tariff_id, rate_id,
            billed_seconds, net, tax, gross, currency)
        SELECT $1, 2, $2, level, CASE WHEN level >= 0 THEN (SELECT id FROM account WHERE code = payer) END,
            CASE WHEN level < 0 THEN (SELECT id FROM carrier WHERE code = payer) END, tariff.id, rate.id, 60, net, 0,
            net, 'EUR'
        FROM unnest(ARRAY[0, 1, -1], ARRAY['DEMO0002', 'DEMO0001', 'CARR0002'], ARRAY[0.06, 0.05, 0.035],
            ARRAY['demo retail', 'demo wholesale', 'demo carrier B']) AS charge (level, payer, net, deck)
        JOIN tariff ON tariff.name = deck
        JOIN ratecard ON ratecard.name = deck
        JOIN rate ON rate.ratecard_id = ratecard.id AND rate.prefix = '44'
        """,
        CALLS[0],
        rows[1][3],
    )


@pytest.fixture(autouse=True)
def _records(cli: CommandLine) -> None:
    cli("demo")
    cli.sql(fill)


def listed(cli: CommandLine, *options: str) -> list[tuple[int, int]]:
    return [(CALLS.index(UUID(row["call_id"])) + 1, row["attempt"]) for row in cli.json("cdr", "list", *options)]


class TestList:
    def test_newest_comes_first_and_old_ones_are_left_out(self, cli: CommandLine) -> None:
        assert listed(cli) == [(3, 0), (2, 0), (1, 1), (1, 2)]
        assert listed(cli, "--since", "1w")[-1] == (4, 0)
        assert listed(cli, "--since", "90s") == [(3, 0)]

    def test_account_takes_those_below_it_along(self, cli: CommandLine) -> None:
        assert listed(cli, "--account", "DEMO0001") == [(3, 0), (1, 1), (1, 2)]
        assert listed(cli, "--account", "DEMO0003") == [(2, 0)]
        assert cli("cdr", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"

    def test_code_narrows_the_list(self, cli: CommandLine) -> None:
        assert listed(cli, "--code", "NO_FUNDS") == [(3, 0), (2, 0)]

    def test_pages_join_when_the_list_is_cut(self, cli: CommandLine) -> None:
        seen = []
        after: list[str] = []
        for _ in range(4):
            result = cli("cdr", "list", "--limit", "1", "--format", "csv", *after)
            seen.append(result.stdout.splitlines()[1])
            after = ["--after", result.stderr.removeprefix("there is more: --after ").strip()]
        assert seen == cli("cdr", "list", "--format", "csv").stdout.splitlines()[1:]
        cli("cdr", "list", "--after", "somewhere", status=2)

    def test_received_number_is_no_formula(self, cli: CommandLine) -> None:
        assert ",'+441," in cli("cdr", "list", "--format", "csv").stdout


class TestRerate:
    def test_report_shows_every_level_and_a_dry_run_changes_nothing(self, cli: CommandLine) -> None:
        cli.value(
            "UPDATE rate SET rate_per_minute = 0.04 FROM ratecard"
            " WHERE ratecard.id = ratecard_id AND ratecard.name = 'demo wholesale' AND prefix = '44'"
        )
        cli.value("UPDATE cdr SET duration = 60, answered_at = received_at WHERE code = 'ANSWERED'")
        before = cli.value("SELECT sum(gross) FROM cdr_charge"), cli.value("SELECT sum(balance) FROM account_balance")
        tried = cli.json("cdr", "rerate", "--since", "1d", "--dry-run")
        assert [(row["code"], row["level"], row["calls"]) for row in tried] == [
            ("DEMO0002", 0, 1),
            ("DEMO0001", 1, 1),
            ("CARR0002", -1, 1),
        ]
        after = cli.value("SELECT sum(gross) FROM cdr_charge"), cli.value("SELECT sum(balance) FROM account_balance")
        assert after == before
        assert cli.json("cdr", "rerate", "--since", "1d", "--account", "DEMO0001") == tried
        assert "0 charges differ and were changed" in cli("cdr", "rerate", "--since", "1d").stderr
        owed = sum(Decimal(row["difference"]) for row in tried if row["level"] >= 0)
        assert cli.value("SELECT sum(balance) FROM account_balance") == before[1] - owed
        assert cli.value("SELECT count(*) FROM ledger_entry WHERE kind = 'correction'") == 1

    def test_span_and_account_narrow_the_calls(self, cli: CommandLine) -> None:
        assert cli.json("cdr", "rerate", "--since", "1h", "--account", "DEMO0003", "--dry-run") == []
        assert cli.json("cdr", "rerate", "--since", "1h", "--until", "30m", "--dry-run") == []
        assert "no account" in cli("cdr", "rerate", "--since", "1h", "--account", "NONE0001", status=1).stderr
        cli("cdr", "rerate", status=2)


class TestShow:
    def test_every_level_is_shown_with_the_carrier_last(self, cli: CommandLine) -> None:
        record = cli.json("cdr", "show", str(CALLS[0]))
        assert [attempt["attempt"] for attempt in record["attempts"]] == [1, 2]
        assert record["attempts"][1]["account_chain"] == ["DEMO0002", "DEMO0001"]
        assert [(charge["payer"], charge["code"], charge["net"], charge["tariff"]) for charge in record["charges"]] == [
            ("customer", "DEMO0002", "0.06", "demo retail"),
            ("reseller", "DEMO0001", "0.05", "demo wholesale"),
            ("carrier", "CARR0002", "0.035", "demo carrier B"),
        ]
        table = cli("cdr", "show", str(CALLS[0])).stdout
        assert "0.035" in table
        assert "CARRIER_FAILED" in table
        assert len(cli("cdr", "show", str(CALLS[0]), "--format", "csv").stdout.splitlines()) == 4

    def test_error_when_the_call_is_unknown_or_no_id(self, cli: CommandLine) -> None:
        assert "no record" in cli("cdr", "show", str(UUID(int=99)), status=1).stderr
        cli("cdr", "show", "call-7", status=2)
