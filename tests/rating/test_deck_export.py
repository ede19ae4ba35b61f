"""Exports, and that they import back to nothing."""

import csv

import pytest

from rating.deck_export import export_deck
from rating.errors import UnknownRatecard
from tests.support.decks import Decks, counts

ALL = """
INSERT INTO rate (ratecard_id, prefix, destination, rate_per_minute, connection_charge, minimum, resolution,
    blocks_mode, grace, multiplier, addition, setup, rental, channels, status, valid_from, valid_until)
VALUES ($1, '', 'everywhere', 1, 0, 1, 1, 'from_zero', 0, 1, 0, 0, 0, NULL, 'active', '-infinity', 'infinity'),
    ($1, '44', '=cmd()', 0.0612345678, 0.01, 30, 6, 'after_minimum', 3, 1.05, 0.1, 5, 2.5, 10, 'blocked',
     '-infinity', '2026-01-01 00:00:00.000001+00'),
    ($1, '44', '''=cmd()', 9999999999.9999999999, 0, 0, 1, 'from_zero', 0, 0, 0, 0, 0, 0, 'active',
     '2026-01-01 00:00:00.000001+00', 'infinity'),
    ($1, '0044', 'comma, "quote"; tab | back\\slash', 0, 0, 1, 1, 'from_zero', 0, 1, 0, 0, 0, NULL, 'active',
     '2026-06-01 02:00+02', '2027-01-01 00:00+00'),
    ($1, '*#1', '''s-Hertogenbosch', 1, 0, 1, 1, 'from_zero', 0, 1, 0, 0, 0, NULL, 'active', '-infinity', 'infinity')
RETURNING id
"""


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_export_imports_back_to_nothing(decks: Decks, name: str) -> None:
    decks.value(ALL, decks.ratecard_id)
    report = decks.load_file(decks.export(name), replace=True)
    assert ([str(fault) for fault in report.faults], counts(report)) == ([], (0, 0, 5, 0))


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_export_makes_the_same_ratecard_again(decks: Decks, name: str) -> None:
    decks.value(ALL, decks.ratecard_id)
    path, columns = decks.export(name), "to_jsonb(rate) - 'id'"
    query = f"SELECT jsonb_agg({columns} ORDER BY prefix, valid_from) FROM rate"
    before = decks.value(query)
    decks.value("DELETE FROM rate")
    assert counts(decks.load_file(path)) == (5, 0, 0, 0)
    assert decks.value(query) == before


def test_csv_is_sorted_and_plain(decks: Decks) -> None:
    decks.value(ALL, decks.ratecard_id)
    with decks.export().open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["prefix"] for row in rows] == ["%", "*#1", "0044", "44", "44"]
    assert [row["destination"] for row in rows[3:]] == ["'=cmd()", "''=cmd()"]
    assert [row["rate_per_minute"] for row in rows] == ["1", "1", "0", "0.0612345678", "9999999999.9999999999"]
    assert rows[3]["valid_until"] == "2026-01-01T00:00:00.000001Z"
    assert (rows[3]["valid_from"], rows[0]["channels"], rows[3]["channels"]) == ("", "", "10")


@pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
def test_export_of_an_empty_ratecard_has_headers(decks: Decks, name: str) -> None:
    assert counts(decks.load_file(decks.export(name), replace=True)) == (0, 0, 0, 0)


def test_progress_is_told_of_a_long_sheet(decks: Decks) -> None:
    query = (
        "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT $1, n::text, 1 FROM generate_series(1, 2500) n"
    )
    decks.value(query, decks.ratecard_id)
    told: list[float] = []
    path = decks.directory / "out.xlsx"
    assert decks.run(export_deck(decks.connection, "retail", path, progress=told.append)) == 2500
    assert told == [0.4, 0.8, 1.0]


def test_old_file_stays_when_the_ratecard_is_unknown(decks: Decks) -> None:
    path = decks.directory / "out.csv"
    path.write_text("kept")
    decks.value("UPDATE ratecard SET name = 'other'")
    with pytest.raises(UnknownRatecard):
        decks.export()
    assert path.read_text() == "kept"
    assert list(decks.directory.iterdir()) == [path]
