"""Amounts, times and untrusted text in tables, JSON and CSV."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from b2bua.cli.output import Format, exact, iso, print_row, print_rows

MOMENT = datetime(2026, 1, 31, 8, 0, 0, 123456, tzinfo=UTC)


class TestExact:
    @pytest.mark.parametrize(
        ("amount", "text"),
        [
            ("1000.0000000000", "1000.00"),
            ("0.0600000000", "0.06"),
            ("-0.0350000000", "-0.035"),
            ("12345678901234567890.1234567891", "12345678901234567890.1234567891"),
            ("1E+3", "1000.00"),
            ("1E-10", "0.0000000001"),
            ("0E-10", "0.00"),
            ("100", "100.00"),
        ],
    )
    def test_amount_keeps_every_digit_that_counts(self, amount: str, text: str) -> None:
        assert exact(Decimal(amount)) == text


def test_time_is_utc_when_it_came_with_another_zone() -> None:
    assert iso(MOMENT.astimezone(timezone(timedelta(hours=2)))) == "2026-01-31T08:00:00.123Z"


class TestCSV:
    @pytest.mark.parametrize("text", ["=1+1", "+44", "-1", "@SUM(A1)", "\tx", "\rx"])
    def test_text_is_no_formula_when_it_looks_like_one(self, text: str, capsys: pytest.CaptureFixture[str]) -> None:
        print_rows([{"source": text}], ["source"], Format.CSV)
        heading, cell = capsys.readouterr().out.split("\n", 1)
        assert heading == "source"
        assert cell.strip('"').startswith("'" + text[0])

    def test_amount_stays_a_number_when_it_is_negative(self, capsys: pytest.CaptureFixture[str]) -> None:
        row = {"amount": Decimal("-1.5"), "count": -3, "at": MOMENT, "nothing": None, "yes": True, "list": ["a", "b"]}
        print_rows([row], list(row), Format.CSV)
        assert capsys.readouterr().out.splitlines()[1] == "-1.50,-3,2026-01-31T08:00:00.123Z,,true,a b"

    def test_list_has_its_heading_when_it_is_empty(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_rows([], ["code", "name"], Format.CSV)
        assert capsys.readouterr().out == "code,name\n"


class TestTable:
    def test_control_characters_do_not_reach_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_rows([{"agent": "a\x1b[2Jb\nc [red]d"}], ["agent"], Format.TABLE)
        out = capsys.readouterr().out
        assert "\x1b" not in out
        assert "a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}c [red]d" in out

    def test_nothing_is_cut_when_it_goes_to_a_pipe(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_rows([{"a": "x" * 150, "b": "y" * 150}], ["a", "b"], Format.TABLE)
        out = capsys.readouterr().out
        assert "x" * 150 in out
        assert "y" * 150 in out

    def test_time_is_local_when_it_is_for_a_person(self, capsys: pytest.CaptureFixture[str]) -> None:
        print_row({"created_at": MOMENT, "is_last": False}, ["created_at", "is_last"], Format.TABLE)
        out = capsys.readouterr().out
        assert MOMENT.astimezone().strftime("%Y-%m-%d %H:%M:%S") in out
        assert "no" in out


class TestJSON:
    def test_value_keeps_its_kind(self, capsys: pytest.CaptureFixture[str]) -> None:
        row = {"amount": Decimal("0.1"), "count": 1, "nothing": None, "yes": True, "list": [Decimal(2)]}
        print_row(row, list(row), Format.JSON)
        text = "".join(capsys.readouterr().out.split())
        assert text == '{"amount":"0.10","count":1,"nothing":null,"yes":true,"list":["2.00"]}'
