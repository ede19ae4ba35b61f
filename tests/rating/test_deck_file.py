"""Files of rates as lines of text."""

import zipfile
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from rating import deck_file
from rating.deck_file import SheetWriter, open_deck
from rating.errors import InvalidDeck
from tests.support.decks import write_csv, write_xlsx


def read(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Headers and lines of a file."""
    with open_deck(path) as deck:
        lines = [(line, list(cells)) for line, cells in deck.lines]
        assert deck.read_part() == 1.0
        return deck.headers, lines


class TestCSV:
    @pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
    def test_file_is_read_whatever_separates_its_cells(self, tmp_path: Path, separator: str) -> None:
        path = write_csv(tmp_path / "deck", [["Code", "Name", "Rate"], ["44", f"a{separator}b", "1"]], separator)
        assert read(path) == (["Code", "Name", "Rate"], [(2, ["44", f"a{separator}b", "1"])])

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_file_is_read_in_its_encoding(self, tmp_path: Path, encoding: str) -> None:
        path = write_csv(tmp_path / "deck.csv", [["Code", "Näme"], ["49", "Österreich €"]], encoding=encoding)
        assert read(path) == (["Code", "Näme"], [(2, ["49", "Österreich €"])])

    def test_lines_have_their_number_in_the_file_when_others_are_empty_or_long(self, tmp_path: Path) -> None:
        path = tmp_path / "deck.csv"
        path.write_text('\n,\nCode,Name\r\n\n44,"two\nlines"\n , \n,,\n49,x\n')
        assert read(path) == (["Code", "Name"], [(5, ["44", "two\nlines"]), (7, [" ", " "]), (9, ["49", "x"])])

    def test_bytes_that_are_no_text_stay_to_be_refused_in_their_cell(self, tmp_path: Path) -> None:
        path = tmp_path / "deck.csv"
        path.write_bytes(b"Code,Name\n41,Z\xfcrich\n")
        assert read(path)[1] == [(2, ["41", "Z\udcfcrich"])]

    @pytest.mark.parametrize(
        ("content", "fault"),
        [
            (b"", "the file is empty"),
            (b"\n\n", "the file is empty"),
            (b'Code,Name\n44,"UK" x\n', "line 2: the file is not CSV"),
            (b'Code,Name\n44,UK\n45,"DK\n46,SE\n', "line 3: the file is not CSV"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "old Excel format"),
            (b"PK\x03\x04 and then nothing", "the file is not XLSX"),
        ],
    )
    def test_error_says_what_is_wrong_with_the_file(self, tmp_path: Path, content: bytes, fault: str) -> None:
        path = tmp_path / "deck.csv"
        path.write_bytes(content)
        with pytest.raises(InvalidDeck, match=fault):
            read(path)


class TestXLSX:
    def test_cells_become_the_text_that_the_spreadsheet_shows(self, tmp_path: Path) -> None:
        cells: Sequence[object] = [
            44, 4420.0, 0.1 + 0.2, 6.1199999999999997e-2, 1e-05, 1.0e15, Decimal("0.0600"), True, None, "0.06",
            datetime(2026, 1, 31, 8), date(2026, 2, 1),  # noqa: DTZ001 - a sheet knows no zones
        ]  # fmt: skip
        path = write_xlsx(tmp_path / "deck.xlsx", [[f"h{n}" for n in range(len(cells))], cells])
        assert read(path)[1][0][1] == [
            "44", "4420", "0.3", "0.0612", "0.00001", "1000000000000000", "0.06", "1", "", "0.06",
            "2026-01-31T08:00:00", "2026-02-01T00:00:00",
        ]  # fmt: skip

    def test_lines_have_their_number_in_the_sheet_when_others_are_empty(self, tmp_path: Path) -> None:
        path = write_xlsx(
            tmp_path / "deck.xlsx", [[None], ["Code", "Rate", None], [], ["44", 1], [None, None], [45, 2]]
        )
        with open_deck(path) as deck:
            assert deck.headers == ["Code", "Rate"]
            assert [(line, list(cells)[:2]) for line, cells in deck.lines] == [(4, ["44", "1"]), (6, ["45", "2"])]

    def test_error_when_the_sheet_is_empty(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidDeck, match="the file is empty"):
            read(write_xlsx(tmp_path / "deck.xlsx", []))

    def test_error_when_the_file_is_cut_off(self, tmp_path: Path) -> None:
        path = write_xlsx(tmp_path / "deck.xlsx", [["Code", "Rate"], ["44", 1]])
        path.write_bytes(path.read_bytes()[:-200])
        with pytest.raises(InvalidDeck, match="not XLSX"):
            read(path)

    def test_error_names_the_line_when_the_sheet_is_damaged(self, tmp_path: Path) -> None:
        path = write_xlsx(tmp_path / "deck.xlsx", [["Code", "Rate"], *([str(number), 1] for number in range(100))])
        damaged = tmp_path / "damaged.xlsx"
        with zipfile.ZipFile(path) as whole, zipfile.ZipFile(damaged, "w") as broken:
            for name in whole.namelist():
                content = whole.read(name)
                broken.writestr(name, content[: len(content) // 2] if "sheet1" in name else content)
        with pytest.raises(InvalidDeck, match=r"line \d+: the file is damaged"):
            read(damaged)

    def test_error_when_the_archive_is_no_workbook(self, tmp_path: Path) -> None:
        path = tmp_path / "deck.xlsx"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "nothing")
        with pytest.raises(InvalidDeck, match="the file is not XLSX"):
            read(path)


class TestSheetWriter:
    def test_sheet_holds_what_was_written(self, tmp_path: Path) -> None:
        writer = SheetWriter(["prefix", "rate"])
        writer.append(["0044", Decimal("0.0612345678")])
        writer.append(["%", Decimal("1234567.0123456789")])
        writer.append(["49", None])
        writer.save(tmp_path / "deck.xlsx")
        writer.close()
        lines = [cells for _, cells in read(tmp_path / "deck.xlsx")[1]]
        assert lines == [["0044", "0.0612345678"], ["%", "1234567.0123456789"], ["49"]]

    def test_error_when_a_sheet_has_no_more_lines(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(deck_file, "SHEET_ROWS", 2)
        writer = SheetWriter(["prefix"])
        writer.append(["44"])
        with pytest.raises(InvalidDeck, match="a sheet has 2 lines"):
            writer.append(["45"])
        writer.save(tmp_path / "deck.xlsx")
        writer.close()
