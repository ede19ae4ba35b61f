"""Texts of options: what they mean, and how that is shown again."""

from datetime import time

import pytest
import typer

from b2bua.cli import option
from b2bua.routing import field


class TestDays:
    @pytest.mark.parametrize(
        ("text", "days", "shown"),
        [
            ("all", 0b1111111, ""),
            ("sun", 0b0000001, "sun"),
            ("Mon-Fri", 0b0111110, "mon,tue,wed,thu,fri"),
            ("sat,sun", 0b1000001, "sat,sun"),
            ("fri-mon", 0b1100011, "mon,fri,sat,sun"),
            ("mon-sun", 0b1111111, ""),
            ("sun-mon, wed", 0b0001011, "mon,wed,sun"),
        ],
    )
    def test_days_are_bits_from_sunday(self, text: str, days: int, shown: str) -> None:
        assert option.parse_days(text) == days
        assert field.show_days(days) == shown

    @pytest.mark.parametrize("text", ["", "monday", "mon-", "-mon", "mon,,tue", "1-5"])
    def test_text_is_refused_when_it_has_no_days(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_days(text)


class TestHours:
    @pytest.mark.parametrize(
        ("text", "hours"),
        [
            ("all", ("00:00", "00:00")),
            ("8:00-18:30", ("08:00", "18:30")),
            ("22:00-06:00", ("22:00", "06:00")),
            ("18:00-24:00", ("18:00", "00:00")),
        ],
    )
    def test_hours_are_times_of_the_day(self, text: str, hours: tuple[str, str]) -> None:
        assert option.parse_hours(text) == hours

    @pytest.mark.parametrize("text", ["", "8-18", "24:00-08:00", "08:00-24:01", "08:00", "08:60-09:00"])
    def test_text_is_refused_when_it_has_no_hours(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_hours(text)

    def test_a_day_that_begins_elsewhere_is_shown(self) -> None:
        assert field.show_hours(time(0), time(0)) == ""
        assert field.show_hours(time(8), time(8)) == "08:00-08:00"


class TestFailoverCodes:
    @pytest.mark.parametrize("text", ["404,503", "404,486,5xx", "none", "default", "3xx,600"])
    def test_codes_are_shown_as_they_are_read(self, text: str) -> None:
        assert field.show_failover_codes(option.parse_failover_codes(text)) == text

    @pytest.mark.parametrize("text", ["", "200", "700", "5x", "503;504"])
    def test_text_is_refused_when_it_has_no_codes(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_failover_codes(text)


class TestHost:
    @pytest.mark.parametrize(
        ("text", "host"),
        [
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8::1]", "2001:db8::1"),
            (" Sip.Carrier.Example. ", "sip.carrier.example"),
            ("sbc_1.carrier-2.example", "sbc_1.carrier-2.example"),
            ("localhost", "localhost"),
        ],
    )
    def test_host_has_one_spelling(self, text: str, host: str) -> None:
        assert option.parse_host(text) == host

    @pytest.mark.parametrize(
        "text",
        ["", " ", "192.0.2.256", "192.0.2", "carrier example", "sip:carrier.example", "carrier.example:5060", "a..b",
         "-a", "carrier-.example",
         "2001:db8::1%eth0", f"{'a' * 64}.example", "a." * 127 + "example", "caf\u00e9.example"],
    )  # fmt: skip
    def test_text_is_refused_when_it_is_no_host(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_host(text)


class TestNetwork:
    @pytest.mark.parametrize(
        ("text", "network"),
        [
            ("192.0.2.1", "192.0.2.1/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("2001:DB8::1", "2001:db8::1/128"),
            ("::ffff:192.0.2.1", "192.0.2.1/32"),
            ("::ffff:192.0.2.0/120", "192.0.2.0/24"),
            ("::/96", "::/96"),
        ],
    )
    def test_network_has_one_spelling(self, text: str, network: str) -> None:
        assert option.parse_network(text) == network

    @pytest.mark.parametrize("text", ["", "192.0.2.1/24", "192.0.2.256", "sip.example", "2001:db8::1%eth0"])
    def test_text_is_refused_when_it_is_no_network(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_network(text)


class TestAmount:
    def test_all_digits_stay(self) -> None:
        assert option.parse_amount("1234.0000000001") == "1234.0000000001"
        assert option.parse_amount("5") == "5.00"

    @pytest.mark.parametrize("text", ["", "-1", "NaN", "inf", "1e30", "1.00000000001", "1,5"])
    def test_text_is_refused_when_it_is_no_amount(self, text: str) -> None:
        with pytest.raises(typer.BadParameter):
            option.parse_amount(text)


def test_given_options_become_values_of_columns() -> None:
    assert option.given(cps="none", codecs="none", days="sun", weight=3, status=None) == {
        "cps": None,
        "codecs": [],
        "days": 1,
        "weight": 3,
    }
