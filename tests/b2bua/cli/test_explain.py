"""`softswitch explain`: the question that a worker gets, its answer as tables or JSON."""

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
import typer

from b2bua.cli.explain import parse_address, parse_codecs, parse_moment
from tests.b2bua.cli.command_line import CommandLine, Worker

NOW = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
CALL = ("explain", "--from", "4930123456", "--to", "442079460000")


def make_candidate(carrier: str, **changes: Any) -> dict[str, Any]:
    return {
        "carrier": carrier,
        "gateways": [{"name": f"{carrier}-a", "state": "up"}, {"name": f"{carrier}-b", "state": "down"}],
        "prefix": "44",
        "priority": 1,
        "weight": 100,
        "number": "00442079460000",
        "cost": "0.015",
        "price": "0.02",
        "margin": "0.005",
        "currency": "EUR",
        "order": [1],
        "dropped": "",
        **changes,
    }


def make_attempt(**changes: Any) -> dict[str, Any]:
    return {
        "kind": "gateway",
        "gateway": "CARR0001-a",
        "carrier": "CARR0001",
        "source": "4930123456",
        "destination": "00442079460000",
        "max_duration": 600,
        **changes,
    }


def make_answer(*candidates: dict[str, Any], **decision: Any) -> dict[str, Any]:
    return {
        "worker": "sip-1",
        "draining": False,
        "revision": 7,
        "at": "2026-01-31T08:00:00+00:00",
        "reference_seconds": 60,
        "steps": [
            {"check": "caller", "looked_at": "198.51.100.7: ip:7", "outcome": "ok"},
            {"check": "prices", "looked_at": "\x1b[31m", "outcome": "NO_RATE account CUST0001"},
        ],
        "candidates": list(candidates),
        "decision": {
            "code": "",
            "object": "",
            "sip_status": None,
            "q850_cause": None,
            "kind": "outgoing",
            "account": "CUST0007",
            "route": "world",
            "source": "4930123456",
            "destination": "442079460000",
            "max_duration": 7200,
            "attempts": [make_attempt()],
            **decision,
        },
    }


class TestQuestion:
    def test_worker_is_asked_what_was_given(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer()
        cli(*CALL, "--source", "198.51.100.7", "--codecs", "PCMA, alaw,g729", "--at", "2026-01-31T08:00+01:00")
        assert worker.requests[-1] == {
            "verb": "explain",
            "source": "4930123456",
            "destination": "442079460000",
            "account": None,
            "address": "198.51.100.7",
            "user": None,
            "codecs": ["PCMA", "g729"],
            "at": "2026-01-31T08:00:00+01:00",
        }
        cli(*CALL, "--account", "CUST0007", "--user", "alice")
        asked = worker.requests[-1]
        assert (asked["account"], asked["user"], asked["address"], asked["codecs"], asked["at"]) == (
            "CUST0007",
            "alice",
            None,
            [],
            None,
        )

    def test_route_is_asked_about_by_itself(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer(make_candidate("CARR0001", price=None, margin=None), account=None)
        lines = cli(*CALL, "--route", "world").stdout.splitlines()
        assert worker.requests[-1]["route"] == "world"
        assert lines[-1].endswith("first gateway CARR0001-a of carrier CARR0001, whoever calls")

    @pytest.mark.parametrize(
        "options",
        [
            (),
            ("--route", "world", "--account", "CUST0007"),
            ("--account", "CUST0007", "--source", "example.net"),
            ("--account", "CUST0007", "--at", "soon"),
            ("--account", "CUST0007", "--codecs", "PCMA;G729"),
        ],
    )
    def test_fault_of_the_command_line_is_status_2(self, cli: CommandLine, options: tuple[str, ...]) -> None:
        cli(*CALL, *options, status=2)

    @pytest.mark.parametrize("missing", ["--from", "--to"])
    def test_both_numbers_are_needed(self, cli: CommandLine, missing: str) -> None:
        place = CALL.index(missing)
        cli(*CALL[:place], *CALL[place + 2 :], "--account", "CUST0007", status=2)

    def test_error_is_one_line_when_nothing_runs(self, cli: CommandLine) -> None:
        result = cli(*CALL, "--account", "CUST0007", status=1)
        assert result.stderr == "error: no SIP worker runs on this machine\n"

    def test_error_is_what_the_worker_says(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = {"ok": False, "error": "no account NONE0001"}
        assert cli(*CALL, "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"


class TestOptions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("08:15", "2026-07-01T08:15:00+00:00"),
            (" 08:15 ", "2026-07-01T08:15:00+00:00"),
            ("08:15Z", "2026-07-01T08:15:00+00:00"),
            ("08:15+02:00", "2026-07-02T08:15:00+02:00"),
            ("08:15:30 Europe/London", "2026-07-02T08:15:30+01:00"),
            ("2026-01-31", "2026-01-31T00:00:00+00:00"),
            ("2026-01-31T08:15", "2026-01-31T08:15:00+00:00"),
            ("2026-01-31 08:15", "2026-01-31T08:15:00+00:00"),
            ("2026-01-31 08:15-05:00", "2026-01-31T08:15:00-05:00"),
            ("2026-01-31 08:15 Europe/London", "2026-01-31T08:15:00+00:00"),
        ],
    )
    def test_time_is_read(self, text: str, expected: str) -> None:
        assert parse_moment(text, NOW).isoformat() == expected

    @pytest.mark.parametrize(
        "text",
        ["", "soon", "8", "25:00", "2026", "08:00 Nowhere/Town", "08:00+01:00 Europe/London", "08:00 Europe", " UTC"],
    )
    def test_what_is_no_time_is_refused(self, text: str) -> None:
        with pytest.raises(typer.BadParameter, match="is not a time such as"):
            parse_moment(text, NOW)

    def test_codecs_and_addresses_are_read(self) -> None:
        assert parse_codecs("") == []
        assert parse_codecs("ulaw,,PCMA") == ["PCMU", "PCMA"]
        assert parse_address("2001:DB8::1") == "2001:db8::1"


class TestAnswer:
    def test_tables_have_units_and_the_tried_ones_first(self, cli: CommandLine, worker: Worker) -> None:
        dropped = make_candidate("CARR0001", order=[], dropped="no rate", cost=None, price=None, margin=None, prefix="")
        endless = make_candidate("CARR0002", order=[2, 3], cost="0.0171816666666666666667", margin="0.0028183333")
        abroad = make_candidate("CARR0003", order=[1], cost=None, margin=None)
        worker.answers["explain"] = make_answer(dropped, endless, abroad)
        lines = cli(*CALL, "--account", "CUST0007").stdout.splitlines()
        text = "\n".join(lines)
        assert "checks at 2026-01-31 08:00:00 UTC, revision 7" in text
        assert "\x1b" not in text
        assert "candidates of route world, amounts for a call of 60 s" in text
        assert "cost, EUR" in text
        found = [
            part for line in lines for part in line.split() if part in {f"CARR000{number}" for number in (1, 2, 3)}
        ]
        assert found == ["CARR0003", "CARR0002", "CARR0001"]
        assert "0.0171816666…" in text
        assert "no exchange rate" in text
        assert "CARR0001-a, CARR0001-b (down)" in text

    def test_last_line_is_the_verdict_when_the_call_may_go(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer(make_candidate("CARR0001"))
        assert cli(*CALL, "--account", "CUST0007").stdout.splitlines()[-1] == (
            "allowed, if sessions, calls per second and funds permit: outgoing call 4930123456 -> 442079460000, "
            "1 attempt, first gateway CARR0001-a of carrier CARR0001, at most 600 s"
        )

    def test_last_line_is_the_verdict_when_the_call_is_refused(self, cli: CommandLine, worker: Worker) -> None:
        refused = {"code": "NO_RATE", "object": "account CUST0007", "sip_status": 503, "q850_cause": 34, "attempts": []}
        worker.answers["explain"] = make_answer(**refused)
        last = cli(*CALL, "--account", "CUST0007").stdout.splitlines()[-1]
        assert last == "refused: NO_RATE account CUST0007, SIP 503, Q.850 cause 34"

    def test_last_line_is_the_verdict_when_the_caller_is_unknown(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer(code="AUTHENTICATE", sip_status=407, attempts=[])
        last = cli(*CALL, "--source", "203.0.113.9").stdout.splitlines()[-1]
        assert last == "not decided: no device has this address, the caller is asked who it is (SIP 407)"

    def test_emergency_call_has_no_amounts(self, cli: CommandLine, worker: Worker) -> None:
        free = make_candidate("CARR0001", cost=None, price=None, margin=None, currency=None)
        worker.answers["explain"] = make_answer(
            free, kind="emergency", max_duration=None, attempts=[make_attempt()] * 2, source=""
        )
        text = cli(*CALL, "--account", "CUST0007").stdout
        assert "cost" not in text
        assert text.splitlines()[-1] == (
            "allowed: emergency call nobody -> 442079460000, 2 attempts, "
            "first gateway CARR0001-a of carrier CARR0001, never cut"
        )

    def test_attempts_are_shown_when_there_are_no_carriers(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer(
            kind="on_net", route=None, attempts=[make_attempt(kind="user", gateway="user bob", carrier=None)]
        )
        lines = cli(*CALL, "--account", "CUST0007").stdout.splitlines()
        assert "where it goes" in [line.strip() for line in lines]
        assert "1 attempt, first user bob, at most 600 s" in lines[-1]

    def test_worker_that_is_being_stopped_is_told_of(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = {**make_answer(), "draining": True}
        told = cli(*CALL, "--account", "CUST0007").stderr
        assert told == "worker sip-1 is being stopped: it refuses every new call with 503 DRAINING\n"

    def test_json_is_all_that_the_worker_said(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["explain"] = make_answer(make_candidate("CARR0001"))
        shown = orjson.loads(cli(*CALL, "--account", "CUST0007", "--json").stdout)
        assert shown == worker.answers["explain"]
