"""Lists of objects: every row once, page by page."""

import pytest

from tests.b2bua.cli.command_line import CommandLine


@pytest.fixture(autouse=True)
def _demo(cli: CommandLine) -> None:
    cli("demo")


class TestPages:
    @pytest.mark.parametrize(
        ("group", "column", "names"),
        [
            ("device", "identity", ["127.0.0.1/32", "demo1001"]),
            ("gateway", "name", ["demo-a", "demo-b"]),
            ("carrier", "code", ["CARR0001", "CARR0002"]),
            ("tariff", "name", ["demo carrier A", "demo carrier B", "demo retail", "demo wholesale"]),
            ("ratecard", "name", ["demo carrier A", "demo carrier B", "demo retail", "demo wholesale"]),
            ("route", "carrier", ["CARR0001", "CARR0002"]),
            ("rule", "rule", ["%=>%"] * 20),
            ("did", "number", ["493023125001", "493023125002"]),
            ("emergency", "pattern", ["110", "112"]),
        ],
    )
    def test_every_row_comes_once_when_pages_have_one_row(
        self, cli: CommandLine, group: str, column: str, names: list[str]
    ) -> None:
        cli("did", "add", "493023125002")
        cli("emergency", "add", "110", "--route", "demo")
        assert [row[column] for row in cli.json(group, "list")] == names
        seen: list[str] = []
        after: list[str] = []
        for _ in names:
            result = cli(group, "list", "--limit", "1", "--format", "csv", *after)
            seen.append(result.stdout.splitlines()[1])
            after = ["--after", result.stderr.removeprefix("there is more: --after ").strip()]
        assert seen == cli(group, "list", "--format", "csv").stdout.splitlines()[1:]
        assert after == ["--after", ""]
