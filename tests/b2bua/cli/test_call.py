"""`softswitch call`: what the workers of this machine answer."""

import time
from typing import Any

from b2bua.cli.demo_data import CUSTOMER
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
