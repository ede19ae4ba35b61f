"""Records of a whole switch: what happens when they cannot get into the database, and where they go from there."""

import csv
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from b2bua.sip.message import Response
from b2bua.transport.endpoint import new_token
from tests.support.calls import SOURCE, exchange
from tests.support.servers import Run
from tests.support.switch import Switch, switch_directory, wait_until

LIMIT = 200_000
INVITE = (
    "INVITE sip:999@127.0.0.1 SIP/2.0\r\n"
    "Via: SIP/2.0/UDP 127.0.0.1:{{port}};rport;branch=z9hG4bK{token}\r\n"
    "From: <sip:{source}@127.0.0.1>;tag={token}\r\nTo: <sip:999@127.0.0.1>\r\nCall-ID: {token}\r\n"
    "CSeq: 1 INVITE\r\nContact: <sip:{source}@127.0.0.1:{{port}}>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)


@pytest.fixture(scope="module")
def small() -> Iterator[Switch]:
    """A switch whose journal may hold a few hundred records, and that exports them every second."""
    with switch_directory() as directory:
        switch = Switch(
            directory,
            SOFTSWITCH_CDR__JOURNAL_LIMIT=str(LIMIT),
            SOFTSWITCH_CDR__EXPORT_DIRECTORY=str(directory / "billing"),
            SOFTSWITCH_CDR__EXPORT_INTERVAL="1",
            # The records of these tests are of refusals, each its own.
            SOFTSWITCH_CALL__REFUSAL_ROWS="1000000",
        )
        try:
            switch.start()
            switch.load_demo()
            yield switch
        finally:
            if switch.process is not None and switch.process.poll() is None:
                switch.stop()


def call(switch: Switch, run: Run) -> Response:
    """Call a number that nobody has a price for."""
    return run(exchange(switch, INVITE.format(token=new_token(), source=SOURCE)))


def exported(directory: Path) -> list[str]:
    """Call-IDs of the finished files."""
    found: list[str] = []
    for path in sorted((directory / "billing").glob("*.csv")):
        with path.open(newline="") as file:
            found += [row["a_call_id"] for row in csv.DictReader(file)]
    return found


def test_calls_are_refused_without_record_while_the_journal_is_full(small: Switch, run: Run) -> None:
    writer = small.child("cdr")
    os.kill(writer, signal.SIGSTOP)
    made = 0
    try:
        began = time.monotonic()
        while not (refusal := call(small, run)).headers.first("retry-after"):
            made += 1
            assert time.monotonic() - began < 60
        assert refusal.status == 503
        assert "cause=42" in refusal.headers.first("reason")
        ping = small.ask("ping")
        assert LIMIT <= ping["journal_waiting"] < LIMIT + 5000
        report = small.command("doctor", check=False)
        assert "new calls are refused" in report
        wait_until(lambda: "journal is at its limit" in small.log(), "the log to say so")
    finally:
        os.kill(writer, signal.SIGCONT)
    wait_until(small.all_is_written, "the records to be written")
    # The worker looks every five seconds.
    wait_until(lambda: not call(small, run).headers.first("retry-after"), "calls to be taken again")
    assert len(small.wait_for_records(made + 1)) == made + 1


def test_every_record_is_in_one_file_when_the_writer_is_killed_again_and_again(small: Switch, run: Run) -> None:
    small.wait_for_records(1)
    for _ in range(5):
        before = len(small.records())
        for _ in range(20):
            call(small, run)
        small.wait_for_records(before + 10)
        victim = small.child("cdr")
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: small.child("cdr") not in (0, victim), "the writer to come back")  # noqa: B023
    wait_until(small.all_is_written, "the records to be written", 30.0)
    records = sorted(record["a_call_id"] for record in small.records())
    wait_until(lambda: len(exported(small.directory)) >= len(records), "the files", 30.0)
    assert sorted(exported(small.directory)) == records
    assert list((small.directory / "billing").glob("*.partial")) == []


def test_backup_is_made_while_the_switch_runs_and_refuses_to_be_restored_under_it(small: Switch, run: Run) -> None:
    file = small.directory / "backup.tar.gz"
    call(small, run)
    assert f"{file} holds" in small.command("backup", str(file))
    assert file.stat().st_mode & 0o777 == 0o600
    count = len(small.records())
    small.command("restore", str(file), "--force", check=False)
    assert len(small.records()) == count
    small.stop()
    assert "restored" in small.command("restore", str(file), "--force")
    small.start()
    wait_until(small.all_is_written, "the records to be written")
    assert len(small.records()) == count
    wait_until(lambda: call(small, run).status == 503, "calls to be taken again")
    assert "every balance is the sum of its entries" in small.command("doctor", check=False)
