"""Undo of the last import, to the digit and the id."""

from datetime import timedelta
from typing import Any

import pytest

from rating.deck_undo import undo_import
from rating.errors import NothingToUndo
from tests.support.decks import NOW, Decks, counts

HEADERS = ("Code", "Destination", "Rate", "Min")
OLD = (("33", "France", "0.05", "1"), ("44", "UK", "0.06", "30"), ("49", "Germany", "0.0000000001", "60"))
NEW = (("33", "France", "0.05", "1"), ("44", "UK", "0.07", "30"), ("4420", "London", "0.04", "1"))
LATER = NOW + timedelta(days=1)


@pytest.mark.parametrize(
    "options",
    [{}, {"replace": True}, {"effective": LATER}, {"effective": LATER, "replace": True}],
    ids=["update", "replace", "effective", "effective replace"],
)
def test_rates_are_what_they_were_when_an_import_is_undone(decks: Decks, options: dict[str, Any]) -> None:
    decks.load(HEADERS, *OLD)
    decks.load((*HEADERS, "valid_from", "valid_until"), ("44", "planned", "1", "1", "2027-01-01", "2028-01-01"))
    rows = decks.rows()
    report = decks.load(HEADERS, *NEW, **options)
    assert decks.rows() != rows
    undone = decks.undo()
    assert decks.rows() == rows
    assert (undone.new, undone.changed, undone.removed) == (report.new, report.changed, report.removed)
    assert decks.value("SELECT count(*) FROM rate_import_row") == 0


def test_import_that_is_not_the_last_is_not_undone_in_its_place(decks: Decks) -> None:
    first, last = decks.load(HEADERS, *OLD), decks.load(HEADERS, *NEW)
    rows = decks.rows()
    with pytest.raises(NothingToUndo, match=r"another file was imported into retail since, deck\.csv"):
        decks.run(undo_import(decks.connection, "retail", first.import_id))
    assert decks.rows() == rows
    assert decks.run(undo_import(decks.connection, "retail", last.import_id)).import_id == last.import_id


def test_ratecard_is_empty_again_when_its_first_import_is_undone(decks: Decks) -> None:
    decks.load(HEADERS, *OLD)
    assert decks.undo().file_name == "deck.csv"
    assert decks.rows() == []
    assert counts(decks.load(HEADERS, *OLD)) == (3, 0, 0, 0)


def test_rates_are_what_they_were_when_a_dated_file_is_undone(decks: Decks) -> None:
    headers = ("Code", "Rate", "valid_from", "valid_until")
    decks.load(headers, ("44", "1", "", "2026-09-01"), ("44", "2", "2026-09-01", ""), ("45", "3", "", ""))
    rows = decks.rows()
    report = decks.load(headers, ("44", "1", "", "2026-08-01"), ("44", "2", "2026-08-01", ""), replace=True)
    assert counts(report) == (1, 1, 0, 2)
    decks.undo()
    assert decks.rows() == rows


def test_workers_are_told_of_an_undo(decks: Decks) -> None:
    decks.load(HEADERS, *OLD)
    revision = decks.revision()
    decks.undo()
    query = "SELECT count(DISTINCT key) FROM config_change WHERE revision = $1 AND table_name = 'rate' AND key = $2"
    assert decks.value(query, revision + 1, decks.ratecard_id) == 1


def test_only_the_last_import_is_kept(decks: Decks) -> None:
    decks.load(HEADERS, *OLD)
    decks.load(HEADERS, *NEW)
    assert decks.value("SELECT count(DISTINCT import_id) FROM rate_import_row") == 1
    decks.undo()
    with pytest.raises(NothingToUndo, match="was undone before"):
        decks.undo()


def test_import_that_changed_nothing_hides_none_before_it(decks: Decks) -> None:
    decks.load(HEADERS, *OLD)
    decks.load(HEADERS, *OLD)
    decks.undo()
    assert decks.rows() == []


def test_error_when_nothing_was_imported(decks: Decks) -> None:
    with pytest.raises(NothingToUndo, match="nothing was imported into retail"):
        decks.undo()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rate SET rate_per_minute = 9 WHERE prefix = '44'",
        "DELETE FROM rate WHERE prefix = '44'",
        "INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT id, '1', 1 FROM ratecard",
    ],
)
def test_error_when_a_rate_was_changed_since(decks: Decks, statement: str) -> None:
    decks.load(HEADERS, *OLD)
    decks.value(statement)
    rows = decks.rows()
    with pytest.raises(NothingToUndo, match=r"rates of retail were changed after the import of deck.csv"):
        decks.undo()
    assert decks.rows() == rows


def test_import_is_undone_when_only_other_ratecards_changed_since(decks: Decks) -> None:
    decks.load(HEADERS, *OLD)
    decks.value("INSERT INTO ratecard (name) VALUES ('other')")
    decks.value("INSERT INTO rate (ratecard_id, prefix, rate_per_minute) SELECT max(id), '1', 1 FROM ratecard")
    decks.undo()
    assert len(decks.rows()) == 1
