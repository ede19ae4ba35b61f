"""`softswitch rate`: in, out, back and list."""

from pathlib import Path

import pytest

from tests.b2bua.cli.command_line import CommandLine
from tests.support.decks import write_xlsx

CARD = ("--ratecard", "demo retail")


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


@pytest.fixture
def deck(tmp_path: Path) -> str:
    path = tmp_path / "deck.csv"
    path.write_text("Dial code,Description,Price EUR,Note\n44,United Kingdom,0.10,\n351,Portugal,0.08,new\n")
    return str(path)


MAP = ("--map", "rate_per_minute=Price EUR")


def price(cli: CommandLine, prefix: str) -> str:
    query = "SELECT string_agg(trim_scale(rate_per_minute)::text, ' ' ORDER BY rate.valid_from) FROM rate JOIN ratecard"
    query += " ON ratecard.id = ratecard_id WHERE name = 'demo retail' AND prefix = $1"
    return str(cli.value(query, prefix))


class TestImport:
    def test_rates_are_imported_and_counted(self, cli: CommandLine, deck: str) -> None:
        said = cli("rate", "import", deck, *CARD, *MAP).stderr
        assert 'header "Note" means nothing here and is ignored' in said
        assert "1 new, 1 changed, 0 unchanged, 0 removed\n" in said
        assert (price(cli, "44"), price(cli, "351"), price(cli, "33")) == ("0.1", "0.08", "0.05")
        assert str(cli.value("SELECT by_whom FROM rate_import")).startswith("command line: ")

    def test_dry_run_shows_the_changes_and_makes_none(self, cli: CommandLine, deck: str) -> None:
        result = cli("rate", "import", deck, *CARD, *MAP, "--dry-run")
        assert "rate_per_minute: 0.06 → 0.10" in result.stdout
        assert "1 new, 1 changed, 0 unchanged, 0 removed\na dry run: nothing was changed\n" in result.stderr
        assert (price(cli, "44"), price(cli, "351")) == ("0.06", "None")

    def test_report_is_complete_as_json(self, cli: CommandLine, deck: str) -> None:
        report = cli.json("rate", "import", deck, *CARD, *MAP, "--replace", "--dry-run")
        names = ("new", "changed", "unchanged", "removed", "import_id", "ignored_headers", "error_count", "errors")
        assert [report[name] for name in names] == [1, 1, 0, 9, None, ["Note"], 0, []]
        assert {"kind": "changed", "line": 2, "prefix": "44", "destination": "United Kingdom",
                "differences": {"rate_per_minute": {"old": "0.06", "new": "0.10"}}} in report["changes"]  # fmt: skip

    def test_rates_change_at_a_date_and_adjusted_when_asked_for(self, cli: CommandLine, deck: str) -> None:
        options = (
            "--effective",
            "2099-01-01",
            "--adjust",
            "rate_per_minute=multiply:1.1",
            "--adjust",
            "grace=replace:2",
        )
        cli("rate", "import", deck, *CARD, *MAP, *options)
        assert price(cli, "44") == "0.06 0.11"
        assert cli.value("SELECT count(*) FROM rate WHERE grace = 2 AND valid_from = '2099-01-01 00:00Z'") == 2

    def test_change_is_dated_now_when_asked_for(self, cli: CommandLine, deck: str) -> None:
        cli("rate", "import", deck, *CARD, *MAP, "--effective", "now")
        assert price(cli, "44") == "0.06 0.1"

    def test_second_import_has_nothing_to_change(self, cli: CommandLine, deck: str) -> None:
        cli("rate", "import", deck, *CARD, *MAP)
        said = cli("rate", "import", deck, *CARD, *MAP).stderr
        assert "0 new, 0 changed, 2 unchanged, 0 removed\nthere was nothing to change\n" in said

    def test_sheet_is_imported(self, cli: CommandLine, tmp_path: Path) -> None:
        path = write_xlsx(tmp_path / "deck.xlsx", [["Code", "Rate"], [44, 0.1]])
        cli("rate", "import", str(path), *CARD, "--replace")
        assert (price(cli, "44"), price(cli, "33")) == ("0.1", "None")

    def test_each_bad_line_is_one_line_and_nothing_is_imported(self, cli: CommandLine, tmp_path: Path) -> None:
        path = tmp_path / "deck.csv"
        path.write_text("Code,Rate\n44,1\n45,\n" + "46,x\n" * 30)
        said = cli("rate", "import", str(path), *CARD, status=1).stderr
        assert 'error: line 3, column Rate is ""; it must be a number\n' in said
        assert "… and 11 more\nnothing was imported\n" in said
        assert price(cli, "44") == "0.06"
        report = cli.json("rate", "import", str(path), *CARD, status=1)
        assert (report["error_count"], report["errors"][1]["line"]) == (31, 4)

    @pytest.mark.parametrize(
        ("options", "status", "fault"),
        [
            (("--ratecard", "none"), 1, "error: no ratecard none\n"),
            (CARD, 1, "error: no header means rate_per_minute; map one of Dial code, Description, Price EUR, Note\n"),
            ((*CARD, "--map", "rate_per_minute"), 2, "is not like"),
            ((*CARD, *MAP, "--adjust", "rate_per_minute=double"), 2, "an action is"),
            ((*CARD, *MAP, "--effective", "soon"), 2, "is neither now nor a time"),
        ],
    )
    def test_error_says_what_is_wrong(
        self, cli: CommandLine, deck: str, options: tuple[str, ...], status: int, fault: str
    ) -> None:
        assert fault in " ".join(
            cli("rate", "import", deck, *options, status=status).stderr.replace("│", "").split(" ")
        )


class TestExport:
    @pytest.mark.parametrize("name", ["out.csv", "out.xlsx"])
    def test_export_imports_back_to_nothing(self, cli: CommandLine, tmp_path: Path, name: str) -> None:
        path = str(tmp_path / name)
        assert "10 rates written to" in cli("rate", "export", *CARD, path).stderr
        report = cli.json("rate", "import", path, *CARD, "--replace", "--dry-run")
        assert [report[name] for name in ("new", "changed", "unchanged", "removed")] == [0, 0, 10, 0]

    def test_error_is_one_line_when_the_file_cannot_be_written(self, cli: CommandLine, tmp_path: Path) -> None:
        said = cli("rate", "export", *CARD, str(tmp_path / "no" / "out.csv"), status=1).stderr
        assert said.startswith("error: ")
        assert said.count("\n") == 1


class TestUndo:
    def test_rates_are_what_they_were(self, cli: CommandLine, deck: str) -> None:
        cli("rate", "import", deck, *CARD, *MAP, "--replace")
        assert "1 taken away, 1 put back, 9 brought back" in cli("rate", "undo", *CARD).stderr
        assert (price(cli, "44"), price(cli, "33"), price(cli, "351")) == ("0.06", "0.05", "None")
        assert "was undone before" in cli("rate", "undo", *CARD, status=1).stderr


class TestList:
    def test_list_is_by_prefix_and_goes_on_where_it_ended(self, cli: CommandLine) -> None:
        rows = cli.json("rate", "list", *CARD, "--limit", "4")
        assert [row["prefix"] for row in rows] == ["1", "33", "336", "44"]
        rows = cli.json("rate", "list", *CARD, "--after", str(rows[-1]["id"]))
        assert [row["prefix"] for row in rows] == ["4420", "447", "49", "4915", "52", "91"]
        assert (rows[0]["rate_per_minute"], rows[0]["valid_from"], rows[0]["minimum"]) == ("0.04", None, 60)

    def test_list_can_be_narrowed(self, cli: CommandLine) -> None:
        assert [row["prefix"] for row in cli.json("rate", "list", *CARD, "--prefix", "44")] == ["44", "4420", "447"]
        assert [row["prefix"] for row in cli.json("rate", "list", *CARD, "--number", "44207")] == ["44", "4420"]

    def test_list_has_more_columns_when_the_ratecard_is_of_dids(self, cli: CommandLine) -> None:
        assert "rental" not in cli("rate", "list", *CARD).stdout
        cli.value("UPDATE ratecard SET direction = 'incoming' WHERE name = 'demo retail'")
        assert "rental" in cli("rate", "list", *CARD).stdout

    def test_error_when_the_ratecard_is_unknown(self, cli: CommandLine) -> None:
        assert cli("rate", "list", "--ratecard", "none", status=1).stderr == "error: no ratecard none\n"
