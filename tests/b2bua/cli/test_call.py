"""`softswitch call`: what the workers of this machine answer."""

import csv
import io
import time
from datetime import UTC, datetime
from typing import Any

import orjson

from b2bua.cli.demo_data import CUSTOMER
from rating.ledger import Connection
from tests.b2bua.cli.command_line import CommandLine, Worker


def live_call(**changes: Any) -> dict[str, Any]:
    return {
        "call_id": "0193a5b0-7c1e-7000-8000-000000000001",
        "worker": "sip-1",
        "account": CUSTOMER,
        "account_id": 2,
        "account_chain": [2, 1],
        "device": "ip:1",
        "source": "4411",
        "destination": "4420",
        "carrier": "CARR0001",
        "gateway": "demo-a",
        "attempt": 1,
        "state": "answered",
        "received_at": 1769846400.25,
        "answered_at": time.time() - 90.5,
        **changes,
    }


class TestList:
    def test_calls_are_shown_with_times_and_seconds(self, cli: CommandLine, worker: Worker) -> None:
        ringing = live_call(state="ringing", answered_at=None, received_at=1769846401.0)
        worker.answers["calls"] = {"total": 3, "calls": [live_call(), ringing]}
        result = cli("call", "list", "--format", "json", "--limit", "2")
        assert result.stderr == "2 of 3 calls are listed\n"
        worker.answers["calls"]["total"] = 2
        first, second = cli.json("call", "list")
        assert first["received_at"] == "2026-01-31T08:00:00.250Z"
        assert first["seconds"] in {90, 91}
        assert (second["answered_at"], second["seconds"]) == (None, None)
        assert "demo-a" in cli("call", "list").stdout

    def test_account_takes_those_below_it_along(self, cli: CommandLine, worker: Worker) -> None:
        cli("demo")
        worker.answers["calls"] = {"total": 0, "calls": []}
        assert cli.json("call", "list", "--account", "DEMO0001") == []
        ids = [cli.value("SELECT id FROM account WHERE code = $1", code) for code in ("DEMO0001", "DEMO0002")]
        assert worker.requests[-1]["account_ids"] == ids
        assert cli("call", "list", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"

    def test_error_is_one_line_when_nothing_runs(self, cli: CommandLine) -> None:
        assert cli("call", "list", status=1).stderr == "error: no SIP worker runs on this machine\n"


class TestHangUp:
    def test_call_is_ended(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["hangup"] = {"ended": 1}
        assert cli("call", "hangup", "some-id").stdout == "1 call ended\n"
        assert worker.requests[-1]["call_id"] == "some-id"

    def test_error_when_no_worker_has_the_call(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["hangup"] = {"ended": 0}
        assert cli("call", "hangup", "some-id", status=1).stderr == "error: no call some-id is in progress\n"

    def test_calls_of_an_account_are_ended(self, cli: CommandLine, worker: Worker) -> None:
        cli("demo")
        worker.answers["hangup"] = {"ended": 3}
        assert cli("call", "hangup", "--account", CUSTOMER).stdout == "3 calls ended\n"
        account_id = cli.value("SELECT id FROM account WHERE code = $1", CUSTOMER)
        assert worker.requests[-1]["account_id"] == account_id
        assert cli("call", "hangup", "--account", "NONE0001", status=1).stderr == "error: no account NONE0001\n"

    def test_error_when_neither_or_both_are_given(self, cli: CommandLine) -> None:
        cli("call", "hangup", status=2)
        cli("call", "hangup", "some-id", "--account", CUSTOMER, status=2)


ENDED, SILENT = (f"0193a5b0-7c1e-7000-8000-00000000000{number}" for number in (2, 3))
MESSAGES = [
    [0.0, "a", False, "udp:198.51.100.7:5060", "INVITE sip:4420@h SIP/2.0\nContent-Type: application/sdp"],
    [0.25, "b", True, "udp:203.0.113.1:5060", "INVITE sip:4420@h2 SIP/2.0"],
    [0.25, "", False, "", "3 messages left out"],
    [1.5, "b", False, "udp:203.0.113.1:5060", "SIP/2.0 503 \x1b[1mNo\nCSeq: 1 INVITE"],
    [1.5, "a", True, "udp:198.51.100.7:5060", "SIP/2.0 503 Service Unavailable\nReason: x"],
    [2.0, "a", True, "udp:198.51.100.7:5060", "SIP/2.0 503 Service Unavailable\nReason: x"],
]


async def fill(connection: Connection) -> None:
    """A failed call with its messages, and one without."""
    now = datetime.now(UTC)
    await connection.execute("SELECT cdr_ensure_partition($1)", now)
    await connection.executemany(
        """
        INSERT INTO cdr (call_id, attempt, is_last, received_at, ended_at, duration, worker, a_call_id, b_call_id,
            a_address, a_transport, sip_code, code, ended_by)
        VALUES ($1, 1, true, $2, $2, 0, 'sip-1', $3, $4, '198.51.100.7:5060', 'udp', 503, 'CARRIER_FAILURE', 'system')
        """,
        [(ENDED, now, "a1@h", "b1"), (SILENT, now, "a2@h", "b2")],
    )
    await connection.execute(
        "INSERT INTO call_trace (call_id, received_at, messages) VALUES ($1, $2, $3::text::jsonb)",
        ENDED,
        now,
        orjson.dumps(MESSAGES).decode(),
    )


class TestTrace:
    def test_ladder_of_a_failed_call_is_drawn(self, cli: CommandLine) -> None:
        cli.sql(fill)
        for name in (ENDED, "a1@h", "b1"):
            head, *lines = cli("call", "trace", name).stdout.splitlines()
            assert head.startswith(f"call {ENDED}, ")
            caller, carrier = "udp:198.51.100.7:5060", "udp:203.0.113.1:5060"
            assert [line.rpartition("|")[2].split(maxsplit=2) for line in lines[1:]] == [
                ["0.000", "s", caller],
                ["0.250", "s", carrier],
                [],
                ["1.500", "s", carrier],
                ["1.500", "s", caller],
                ["2.000", "s", caller],
            ]
            assert [line.rpartition("|")[0] for line in lines] == [
                "",
                "|-- INVITE +SDP ---------------------->|" + " " * 38,
                "|" + " " * 38 + "|-- INVITE --------------------------->",
                "|" + "... 3 messages left out ...".center(77),
                "|" + " " * 38 + "|<----------------------- 503 \ufffd[1mNo --",
                "|<---------- 503 Service Unavailable --|" + " " * 38,
                "|<--- 503 Service Unavailable, again --|" + " " * 38,
            ]
            assert lines[0].split() == ["caller", "switch", "called", "side"]

    def test_texts_are_printed_when_they_are_asked_for(self, cli: CommandLine) -> None:
        cli.sql(fill)
        output = cli("call", "trace", ENDED, "--text").stdout
        assert "\n    INVITE sip:4420@h SIP/2.0\n    Content-Type: application/sdp\n" in output
        assert "\x1b" not in output

    def test_messages_are_json_and_csv(self, cli: CommandLine) -> None:
        cli.sql(fill)
        told = cli.json("call", "trace", ENDED)
        assert (told["call_id"], len(told["messages"])) == (ENDED, 6)
        assert told["messages"][1] == {
            "seconds": "0.250000",
            "leg": "b",
            "direction": "sent",
            "peer": "udp:203.0.113.1:5060",
            "message": "INVITE sip:4420@h2 SIP/2.0",
        }
        assert told["messages"][2]["direction"] == ""
        assert orjson.loads(cli("call", "trace", ENDED, "--json").stdout) == told
        rows = list(csv.DictReader(io.StringIO(cli("call", "trace", ENDED, "--format", "csv").stdout)))
        assert [row["message"] for row in rows][:3] == ["INVITE", "INVITE", "3 messages left out"]

    def test_call_that_is_up_is_asked_of_its_worker(self, cli: CommandLine, worker: Worker) -> None:
        worker.answers["trace"] = {"trace": {"call_id": ENDED, "received_at": 1769846400.25, "messages": MESSAGES[:2]}}
        told = cli.json("call", "trace", "a1@h")
        assert (told["received_at"], len(told["messages"])) == ("2026-01-31T08:00:00.250Z", 2)
        assert worker.requests[-1]["name"] == "a1@h"

    def test_call_that_no_worker_has_is_looked_for_in_the_database(self, cli: CommandLine, worker: Worker) -> None:
        cli.sql(fill)
        worker.answers["trace"] = {"trace": None}
        assert cli.json("call", "trace", ENDED)["call_id"] == ENDED

    def test_error_says_what_is_missing(self, cli: CommandLine) -> None:
        cli.sql(fill)
        for name in (SILENT, "a2@h"):
            error = cli("call", "trace", name, status=1).stderr
            assert error.startswith(f"error: no messages were kept of call {SILENT};")
        other = SILENT.replace("3", "4")
        assert cli("call", "trace", other, status=1).stderr == f"error: no call {other}\n"
        assert (
            "error: no call x@h since 2026"
            in cli("call", "trace", "x@h", "--since", "2026-01-31T08:00", status=1).stderr
        )
        cli("call", "trace", "x@h", "--since", "soon", status=2)


class TestShow:
    def test_call_is_shown_with_what_is_measured_of_either_side(self, cli: CommandLine, worker: Worker) -> None:
        call = live_call()
        figures = {"packets": 900, "lost": 2, "jitter_ms": 1.5, "round_trip_ms": None, "mos": 4.2, "in_kernel": True}
        quality = {"engine": "own", "audio": "one-way", "a": figures, "b": None}
        worker.answers["calls"] = {"total": 1, "calls": [call]}
        worker.answers["quality"] = {"calls": {call["call_id"]: quality}}
        shown = cli.json("call", "show", call["call_id"])
        assert (shown["engine"], shown["audio"], shown["gateway"]) == ("own", "one-way", "demo-a")
        assert shown["quality"] == [{"side": "caller", **figures, "jitter_ms": "1.5", "mos": "4.2"}]
        assert "one-way" in cli("call", "show", call["call_id"]).stdout
        (row,) = csv.DictReader(io.StringIO(cli("call", "show", call["call_id"], "--format", "csv").stdout))
        assert (row["mos"], row["round_trip_ms"]) == ("4.2", "")

    def test_call_without_an_engine_has_no_figures(self, cli: CommandLine, worker: Worker) -> None:
        call = live_call()
        worker.answers["calls"] = {"total": 1, "calls": [call]}
        worker.answers["quality"] = {"calls": {}}
        assert cli.json("call", "show", call["call_id"])["quality"] == []
        assert "is in progress" in cli("call", "show", "0193a5b0-7c1e-7000-8000-00000000000f", status=1).stderr
