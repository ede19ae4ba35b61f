"""A ratecard in a real database, files for it, and imports into it."""

import csv
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import openpyxl

from rating.deck_cell import Adjustment
from rating.deck_export import export_deck
from rating.deck_import import ImportOptions, ImportReport, import_deck
from rating.deck_undo import Undone, undo_import
from tests.support.servers import Run

NOW = datetime(2026, 9, 1, 12, tzinfo=UTC)

Line = Sequence[object]


def write_csv(path: Path, lines: Sequence[Line], separator: str = ",", encoding: str = "utf-8") -> Path:
    """Write a CSV file."""
    with path.open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=separator).writerows(lines)
    return path


def write_xlsx(path: Path, lines: Sequence[Line]) -> Path:
    """Write an XLSX file, with the cells as they are."""
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(list(line))
    book.save(path)
    return path


class Decks:
    """Imports into a ratecard named "retail" and looks at its rates.

    Args:
        url: The database.
        run: Runs coroutines.
        directory: For files.
    """

    def __init__(self, url: str, run: Run, directory: Path) -> None:
        self.run = run
        self.directory = directory
        self.connection: asyncpg.Connection[asyncpg.Record] = run(asyncpg.connect(url))
        self.ratecard_id: int = self.value("INSERT INTO ratecard (name) VALUES ('retail') RETURNING id")

    def value(self, query: str, *arguments: object) -> Any:
        """One value of the database."""
        return self.run(self.connection.fetchval(query, *arguments))

    def load(self, *lines: Line, adjust: Sequence[str] = (), now: datetime = NOW, **options: Any) -> ImportReport:
        """Import lines, the first of them headers, as CSV."""
        path = write_csv(self.directory / "deck.csv", lines)
        return self.load_file(path, adjust=adjust, now=now, **options)

    def load_file(
        self, path: Path, *, adjust: Sequence[str] = (), now: datetime = NOW, ratecard: str = "retail", **options: Any
    ) -> ImportReport:
        """Import a file."""
        chosen = replace(ImportOptions(adjustments=[Adjustment.parse(text) for text in adjust]), **options)
        return self.run(import_deck(self.connection, path, ratecard, chosen, by_whom="tests", now=now))

    def export(self, name: str = "out.csv") -> Path:
        """Write the ratecard to a file."""
        path = self.directory / name
        self.run(export_deck(self.connection, "retail", path))
        return path

    def undo(self) -> Undone:
        """Undo the last import."""
        return self.run(undo_import(self.connection, "retail"))

    def rows(self) -> list[tuple[Any, ...]]:
        """All rates with all their columns."""
        query = "SELECT rate::text FROM rate ORDER BY ratecard_id, prefix, valid_from"
        return [tuple(row) for row in self.run(self.connection.fetch(query))]

    def prices(self, at: datetime = NOW) -> dict[str, str]:
        """Prefix -> the price in force."""
        query = """
            SELECT DISTINCT ON (prefix) prefix, trim_scale(rate_per_minute)::text FROM rate
            WHERE ratecard_id = $1 AND valid_from <= $2 AND valid_until > $2 ORDER BY prefix, valid_from DESC
        """
        rows = self.run(self.connection.fetch(query, self.ratecard_id, at))
        return {row["prefix"]: row["trim_scale"] for row in rows}

    def revision(self) -> int:
        """Of the configuration."""
        return int(self.value("SELECT revision FROM config_revision"))

    def close(self) -> None:
        """Give the connection back."""
        self.run(self.connection.close())


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    """New, changed, unchanged and removed."""
    return report.new, report.changed, report.unchanged, report.removed
