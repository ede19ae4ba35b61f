"""Imports into a real database: in place, from a date on, with dates of their own, replacing, adjusted, refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from rating.errors import InvalidAdjustment, InvalidDeck, UnknownRatecard
from tests.support.decks import NOW, Decks, counts, write_xlsx

MOMENT, DAY = timedelta(microseconds=1), timedelta(days=1)
HEADERS = ("Code", "Destination", "Rate")
FRANCE, BRITAIN, LONDON = ("33", "France", "0.05"), ("44", "United Kingdom", "0.06"), ("4420", "London", "0.04")


class TestInPlace:
    """Without a date anywhere: what a rate says is put right, as if it had always been so."""

    def test_rates_of_an_empty_ratecard_have_always_been_in_force(self, decks: Decks) -> None:
        assert counts(decks.load(HEADERS, FRANCE, BRITAIN)) == (2, 0, 0, 0)
        assert decks.prices(NOW - 10_000 * DAY) == {"33": "0.05", "44": "0.06"}
        assert decks.value("SELECT count(*) FROM rate WHERE isfinite(valid_from) OR isfinite(valid_until)") == 0

    def test_report_counts_new_changed_and_unchanged_rates(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        report = decks.load(HEADERS, FRANCE, ("44", "United Kingdom", "0.07"), LONDON)
        assert counts(report) == (1, 1, 1, 0)
        assert decks.prices() == {"33": "0.05", "44": "0.07", "4420": "0.04"}
        assert [(change.kind, change.line, change.prefix) for change in report.changes] == [
            ("new", 4, "4420"), ("changed", 3, "44"),
        ]  # fmt: skip
        changed = {name: tuple(map(str, pair)) for name, pair in report.changes[1].differences.items()}
        assert changed == {"rate_per_minute": ("0.06", "0.07")}

    def test_changed_rate_keeps_its_id(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE)
        old = decks.value("SELECT id FROM rate")
        decks.load(HEADERS, ("33", "France", "0.9"))
        assert decks.value("SELECT id FROM rate") == old

    def test_column_that_the_file_lacks_keeps_its_value_or_has_its_default(self, decks: Decks) -> None:
        decks.load(("Code", "Rate", "Min", "Increment", "Channels", "Rental"), ("44", "1", "30", "6", "10", "5.5"))
        assert counts(decks.load(("Code", "Rate"), ("44", "2"), ("45", "3"))) == (1, 1, 0, 0)
        rows = decks.run(
            decks.connection.fetch("SELECT minimum, resolution, channels, trim_scale(rental) FROM rate ORDER BY prefix")
        )
        assert [tuple(map(str, row)) for row in rows] == [
            ("30", "6", "10", "5.5"), ("1", "1", "None", "0"),
        ]  # fmt: skip

    def test_empty_cell_is_the_default_when_the_column_is_there(self, decks: Decks) -> None:
        decks.load(("Code", "Rate", "Min", "Channels"), ("44", "1", "30", "10"))
        assert counts(decks.load(("Code", "Rate", "Min", "Channels"), ("44", "1", "", ""))) == (0, 1, 0, 0)
        assert decks.value("SELECT minimum FROM rate") == 1
        assert decks.value("SELECT channels FROM rate") is None

    def test_rate_begins_now_when_an_earlier_one_of_its_prefix_has_ended(self, decks: Decks) -> None:
        decks.load((*HEADERS, "valid_from", "valid_until"), (*FRANCE, "", "2026-08-01"))
        assert counts(decks.load(HEADERS, ("33", "France", "0.09"))) == (1, 0, 0, 0)
        assert decks.prices(NOW - 60 * DAY) == {"33": "0.05"}
        assert decks.prices(NOW - MOMENT) == {}
        assert decks.prices(NOW) == {"33": "0.09"}

    def test_rate_ends_where_the_next_begins_when_that_is_planned(self, decks: Decks) -> None:
        decks.load((*HEADERS, "valid_from"), (*FRANCE, "2026-10-01"))
        assert counts(decks.load(HEADERS, ("33", "France", "0.09"))) == (1, 0, 0, 0)
        assert decks.value("SELECT valid_until FROM rate ORDER BY id DESC LIMIT 1") == datetime(2026, 10, 1, tzinfo=UTC)

    def test_nothing_is_recorded_when_nothing_changes(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE)
        revision = decks.revision()
        report = decks.load(HEADERS, ("33", "France", "0.050"))
        assert counts(report) == (0, 0, 1, 0)
        assert report.import_id is None
        assert decks.revision() == revision
        assert decks.value("SELECT count(*) FROM rate_import") == 1

    def test_import_is_one_revision_and_one_record(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        revision = decks.revision()
        report = decks.load(HEADERS, ("33", "France", "0.01"), LONDON, replace=True)
        assert decks.revision() == revision + 1
        record = decks.run(decks.connection.fetchrow("SELECT * FROM rate_import WHERE id = $1", report.import_id))
        assert record is not None
        names = ("file_name", "by_whom", "rows_new", "rows_changed", "rows_removed", "undone_at", "revision")
        assert [record[name] for name in names] == ["deck.csv", "tests", 1, 1, 1, None, revision + 1]

    def test_other_ratecards_are_left_alone(self, decks: Decks) -> None:
        decks.value("INSERT INTO ratecard (name) VALUES ('other')")
        decks.load(HEADERS, FRANCE)
        other = decks.directory / "deck.csv"
        assert counts(decks.load_file(other, ratecard="other")) == (1, 0, 0, 0)
        assert counts(decks.load(HEADERS, BRITAIN, replace=True)) == (1, 0, 0, 1)
        assert decks.value("SELECT count(*) FROM rate WHERE prefix = '33'") == 1


class TestEffective:
    """From a date on: the old rate ends there and the new one begins."""

    AT = NOW + 10 * DAY

    def test_rate_changes_at_the_date_when_it_differs(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        report = decks.load(HEADERS, FRANCE, ("44", "United Kingdom", "0.07"), LONDON, effective=self.AT)
        assert counts(report) == (1, 1, 1, 0)
        assert decks.prices(self.AT - MOMENT) == {"33": "0.05", "44": "0.06"}
        assert decks.prices(self.AT) == {"33": "0.05", "44": "0.07", "4420": "0.04"}
        query = "SELECT valid_until FROM rate WHERE prefix = '44' ORDER BY valid_from LIMIT 1"
        assert decks.value(query) == self.AT

    def test_rate_is_changed_in_place_when_it_begins_at_the_same_date(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, effective=self.AT)
        assert counts(decks.load(HEADERS, ("33", "France", "0.9"), effective=self.AT)) == (0, 1, 0, 0)
        assert decks.value("SELECT count(*) FROM rate") == 1

    def test_planned_change_stays_when_an_earlier_one_comes(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE)
        decks.load(HEADERS, ("33", "France", "0.3"), effective=self.AT + DAY)
        decks.load(HEADERS, ("33", "France", "0.2"), effective=self.AT)
        moments = (self.AT - MOMENT, self.AT, self.AT + DAY - MOMENT, self.AT + DAY)
        assert [decks.prices(at)["33"] for at in moments] == ["0.05", "0.2", "0.2", "0.3"]

    def test_rate_that_the_file_lacks_ends_at_the_date_when_the_file_is_all(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        assert counts(decks.load(HEADERS, FRANCE, effective=self.AT, replace=True)) == (0, 0, 1, 1)
        assert decks.prices(self.AT - MOMENT) == {"33": "0.05", "44": "0.06"}
        assert decks.prices(self.AT) == {"33": "0.05"}

    def test_planned_changes_go_when_the_file_is_all(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        decks.load(HEADERS, ("33", "France", "0.3"), LONDON, effective=self.AT + DAY)
        report = decks.load(HEADERS, FRANCE, BRITAIN, effective=self.AT, replace=True)
        assert counts(report) == (0, 1, 1, 2)
        assert decks.prices(self.AT + 100 * DAY) == {"33": "0.05", "44": "0.06"}

    def test_error_when_the_file_has_dates_too(self, decks: Decks) -> None:
        with pytest.raises(InvalidDeck, match="takes no effective date"):
            decks.load((*HEADERS, "Effective date"), (*FRANCE, "2026-10-01"), effective=self.AT)


class TestDated:
    """Files with dates name their rates by prefix and date."""

    def test_prefix_can_come_once_for_each_date(self, decks: Decks) -> None:
        headers = ("Code", "Rate", "Effective Date")
        report = decks.load(headers, ("44", "1", ""), ("44", "2", "2026-09-10"), ("44", "3", "2026-09-20T06:00+02:00"))
        assert counts(report) == (3, 0, 0, 0)
        moments = (NOW, datetime(2026, 9, 10, tzinfo=UTC), datetime(2026, 9, 20, 3, 59, tzinfo=UTC))
        assert [decks.prices(at)["44"] for at in moments] == ["1", "2", "2"]
        assert decks.prices(datetime(2026, 9, 20, 4, tzinfo=UTC)) == {"44": "3"}

    def test_rates_are_told_apart_by_their_date(self, decks: Decks) -> None:
        headers = ("Code", "Rate", "valid_from", "valid_until")
        decks.load(headers, ("44", "1", "", "2026-09-10"), ("44", "2", "2026-09-10", ""))
        report = decks.load(
            headers, ("44", "1", "", "2026-09-10"), ("44", "3", "2026-09-10", ""), ("44", "4", "2027-01-01", "")
        )
        assert counts(report) == (1, 1, 1, 0)
        assert counts(decks.load(headers, ("44", "1", "", "2026-09-09"), replace=True)) == (0, 1, 0, 2)
        assert decks.prices(datetime(2026, 9, 9, tzinfo=UTC)) == {}


class TestReplace:
    def test_rate_that_the_file_lacks_is_removed(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN, LONDON)
        report = decks.load(HEADERS, BRITAIN, replace=True)
        assert counts(report) == (0, 0, 1, 2)
        assert decks.prices(NOW - 1000 * DAY) == {"44": "0.06"}
        assert sorted((change.kind, change.prefix, change.line) for change in report.changes) == [
            ("removed", "33", None), ("removed", "4420", None),
        ]  # fmt: skip

    def test_rates_that_have_ended_stay_for_the_record(self, decks: Decks) -> None:
        decks.load((*HEADERS, "valid_from", "valid_until"), (*FRANCE, "", "2026-08-01"), (*FRANCE, "2026-08-01", ""))
        assert counts(decks.load(HEADERS, BRITAIN, replace=True)) == (1, 0, 0, 1)
        assert decks.prices(NOW - 60 * DAY) == {"33": "0.05", "44": "0.06"}
        assert decks.prices(NOW) == {"44": "0.06"}

    def test_rate_that_was_to_end_goes_on_when_the_file_has_it(self, decks: Decks) -> None:
        decks.load((*HEADERS, "valid_from", "valid_until"), (*FRANCE, "", "2026-12-01"))
        assert counts(decks.load(HEADERS, FRANCE, replace=True)) == (0, 1, 0, 0)
        assert decks.prices(NOW + 1000 * DAY) == {"33": "0.05"}

    def test_rate_that_the_file_lacks_stays_when_it_is_an_update(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        assert counts(decks.load(HEADERS, LONDON)) == (1, 0, 0, 0)
        assert decks.prices() == {"33": "0.05", "44": "0.06", "4420": "0.04"}

    def test_every_rate_is_removed_when_the_file_has_only_headers(self, decks: Decks) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        assert counts(decks.load(HEADERS, replace=True)) == (0, 0, 0, 2)
        assert decks.rows() == []


class TestDryRun:
    @pytest.mark.parametrize("options", [{}, {"replace": True}, {"effective": NOW + DAY}])
    def test_dry_run_says_what_would_be_done_and_changes_nothing(self, decks: Decks, options: dict[str, Any]) -> None:
        decks.load(HEADERS, FRANCE, BRITAIN)
        rows, revision = decks.rows(), decks.revision()
        lines = (HEADERS, FRANCE, LONDON, ("44", "United Kingdom", "0.07"))
        report = decks.load(*lines, dry_run=True, **options)
        assert counts(report) == (1, 1, 1, 0)
        assert (decks.rows(), decks.revision(), report.import_id) == (rows, revision, None)
        assert decks.value("SELECT count(*) FROM rate_import") == 1
        assert counts(decks.load(*lines, **options)) == counts(report)


class TestFaults:
    """One bad line changes nothing, and the report says which."""

    @pytest.mark.parametrize(
        ("lines", "fault"),
        [
            ([FRANCE, ("44", "UK", "0,06")], 'line 3, column Rate is "0,06"; it must be a number with a point'),
            ([("x", "UK", "1"), FRANCE], 'line 2, column Code is "x"; it must be up to 30 digits'),
            ([FRANCE, ("", "UK", "1")], 'line 3, column Code is ""; it must be a prefix; % is the one of every number'),
            ([FRANCE, BRITAIN, FRANCE], 'line 4, column Code is "33"; it must be given once, but line 2 has it too'),
            ([("%", "", "1"), ("%", "", "2")], 'line 3, column Code is "%"; it must be given once'),
            ([("44", "UK", " London", "1")], "line 2: 4 cells below 3 headers"),
        ],
    )
    def test_nothing_is_imported_when_a_line_is_bad(self, decks: Decks, lines: list[Any], fault: str) -> None:
        decks.load(HEADERS, BRITAIN)
        rows, revision = decks.rows(), decks.revision()
        report = decks.load(HEADERS, *lines, replace=True)
        assert str(report.faults[0]).startswith(fault)
        assert (report.fault_count, counts(report)) == (1, (0, 0, 0, 0))
        assert (decks.rows(), decks.revision()) == (rows, revision)

    def test_last_line_of_many_is_found(self, decks: Decks) -> None:
        lines = [(str(number), "x", "0.01") for number in range(1000, 4000)]
        report = decks.load(HEADERS, *lines, ("4000", "x", "much"), ("4001", "x", "more"))
        assert [fault.line for fault in report.faults] == [3002, 3003]
        assert decks.rows() == []

    def test_rate_must_end_after_it_begins(self, decks: Decks) -> None:
        headers = ("Code", "Rate", "From", "Until")
        mapping = {"valid_from": "From", "valid_until": "Until"}
        report = decks.load(headers, ("44", "1", "2026-09-02", "2026-09-02"), mapping=mapping)
        assert str(report.faults[0]).startswith('line 2, column Until is "2026-09-02')
        assert str(report.faults[0]).endswith("it must be later than valid_from")

    def test_prefix_must_come_once_for_each_date(self, decks: Decks) -> None:
        report = decks.load(("Code", "Rate", "valid_from"), ("44", "1", ""), ("44", "2", "2026-09-02"), ("44", "3", ""))
        assert [str(fault) for fault in report.faults] == [
            'line 4, column Code is "44"; it must be given once for each valid_from, but line 2 has it too'
        ]

    def test_error_when_there_is_no_such_ratecard(self, decks: Decks) -> None:
        path = decks.directory / "deck.csv"
        path.write_text("Code,Rate\n44,1\n")
        with pytest.raises(UnknownRatecard, match="no ratecard wholesale"):
            decks.load_file(path, ratecard="wholesale")

    def test_error_when_the_file_breaks_off(self, decks: Decks) -> None:
        path = decks.directory / "deck.csv"
        path.write_text('Code,Rate,Destination\n44,1,x\n45,1,"y\n')
        with pytest.raises(InvalidDeck, match="line 3"):
            decks.load_file(path)
        assert decks.rows() == []
        assert counts(decks.load(HEADERS, FRANCE)) == (1, 0, 0, 0)


class TestAdjustments:
    def test_columns_are_adjusted_on_the_way_in(self, decks: Decks) -> None:
        headers = ("Code", "Rate", "Connection fee", "Min", "Increment", "Status")
        adjust = ["rate_per_minute=multiply:1.1", "connection_charge=add:0.005", "minimum=as_is"]
        adjust += ["resolution=replace:6", "blocks_mode=replace:after_minimum", "grace=replace:3"]
        decks.load(headers, ("44", "0.06", "0.01", "30", "1", "active"), adjust=adjust)
        query = "SELECT rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace FROM rate"
        row = decks.run(decks.connection.fetchrow(query))
        assert row is not None
        assert [str(value) for value in row] == ["0.0660000000", "0.0150000000", "30", "6", "after_minimum", "3"]

    def test_line_is_refused_when_its_adjusted_value_does_not_fit(self, decks: Decks) -> None:
        report = decks.load(HEADERS, FRANCE, ("44", "UK", "0.5"), adjust=["rate_per_minute=add:-0.06"])
        assert [fault.line for fault in report.faults] == [2]
        assert decks.rows() == []

    def test_error_when_the_file_lacks_the_column(self, decks: Decks) -> None:
        with pytest.raises(InvalidAdjustment, match="no such column"):
            decks.load(HEADERS, FRANCE, adjust=["grace=add:1"])


class TestXLSX:
    def test_sheet_is_imported_like_csv(self, decks: Decks) -> None:
        path = write_xlsx(decks.directory / "deck.xlsx", [HEADERS, (33, "France", 0.05), ("44", "UK", 0.1 + 0.2)])
        assert counts(decks.load_file(path)) == (2, 0, 0, 0)
        assert decks.prices() == {"33": "0.05", "44": "0.3"}
        assert counts(decks.load(HEADERS, FRANCE, ("44", "UK", "0.3"))) == (0, 0, 2, 0)

    def test_fault_names_the_row_of_the_sheet(self, decks: Decks) -> None:
        path = write_xlsx(decks.directory / "deck.xlsx", [HEADERS, FRANCE, (44, "UK", "#N/A")])
        assert str(decks.load_file(path).faults[0]).startswith('line 3, column Rate is "#N/A"')


class TestProgress:
    def test_progress_is_told_from_reading_to_writing(self, decks: Decks, tmp_path: Path) -> None:
        from rating.deck_import import ImportOptions, import_deck

        path = tmp_path / "deck.csv"
        path.write_text("Code,Rate\n" + "".join(f"{number},1\n" for number in range(2000)))
        told: list[tuple[str, float]] = []
        decks.run(
            import_deck(
                decks.connection, path, "retail", ImportOptions(), by_whom="tests", now=NOW,
                progress=lambda what, part: told.append((what, part)),
            )
        )  # fmt: skip
        assert list(dict.fromkeys(what for what, _ in told)) == ["reading", "comparing", "writing"]
        assert all(0 <= part <= 1 for _, part in told)
        assert told[-1] == ("writing", 1.0)
