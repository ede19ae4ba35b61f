"""`softswitch doctor`: every check in its good and its bad state, and the exit status."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from valkey.asyncio import Valkey

from b2bua.cli import checks
from b2bua.cli.checks import CAP_NET_ADMIN
from conf.embedded import run_directory
from conf.settings import DNSSettings, MediaSettings
from rating.ledger import post_payment
from tests.b2bua.cli.command_line import CommandLine, Worker
from tests.support.dns import DNSServer

KEY = "sessions:{a:1}:a:2"


@pytest.fixture
def doctor(cli: CommandLine, live_url: str) -> CommandLine:
    """A command line whose servers both answer and whose panel has a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = cli.settings
    cli.settings = replace(
        settings,
        live=replace(settings.live, url=live_url),
        panel=replace(settings.panel, listen=f"127.0.0.1:{port}"),
        media=MediaSettings(engines=()),
    )
    return cli


@pytest.fixture(autouse=True)
def _second_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "SECOND_LOOK", 0.05)


def findings(cli: CommandLine, check: str, status: int = 0) -> list[tuple[str, str]]:
    return [(one["state"], one["text"]) for one in cli.json("doctor", status=status) if one["check"] == check]


def states(cli: CommandLine, check: str, status: int = 0) -> list[str]:
    return [state for state, _ in findings(cli, check, status)]


def in_valkey(cli: CommandLine, work: Callable[[Valkey], Awaitable[Any]]) -> None:
    async def main() -> None:
        live = Valkey.from_url(cli.settings.live.url, decode_responses=True)
        try:
            await work(live)
        finally:
            await live.aclose()

    asyncio.run(main())


def beat(cli: CommandLine, age: int = 0, backlog: int = 0) -> None:
    cli.value(
        """
        INSERT INTO cdr_writer (name, beat_at, backlog_bytes)
        VALUES ('node1', now() - make_interval(secs => $1), $2)
        ON CONFLICT (name) DO UPDATE SET beat_at = excluded.beat_at, backlog_bytes = excluded.backlog_bytes
        """,
        age,
        backlog,
    )


def with_listener(cli: CommandLine, *addresses: str) -> None:
    cli.settings = replace(cli.settings, sip=replace(cli.settings.sip, listen=addresses))


class TestWhole:
    def test_nothing_is_at_fault_when_nothing_runs_yet(self, doctor: CommandLine) -> None:
        lines = doctor("doctor").stdout.splitlines()
        assert all(line.startswith(("ok     ", "warning")) for line in lines)
        assert len({line.index(line[9:].split("  ")[0]) for line in lines}) == 1

    def test_everything_is_well_when_it_runs(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        found = [one for one in doctor.json("doctor") if one["state"] != "ok"]
        # The disk and the panel are those of the machine that runs the test.
        assert [one for one in found if one["check"] not in {"disk", "port"}] == []
        assert worker.requests[0]["verb"] == "ping"

    def test_csv_has_one_line_per_finding(self, doctor: CommandLine) -> None:
        assert doctor("doctor", "--format", "csv").stdout.startswith("state,check,text\n")


class TestDatabase:
    def test_database_is_a_fault_when_its_url_leads_nowhere(self, doctor: CommandLine) -> None:
        url = "postgresql://x:secret@/x?host=/nonexistent"
        doctor.settings = replace(doctor.settings, database=replace(doctor.settings.database, url=url))
        ((state, text),) = findings(doctor, "database", status=1)
        assert state == "FAULT"
        assert "secret" not in text
        assert states(doctor, "ledger", status=1) == ["warning"]

    def test_database_is_a_warning_when_the_embedded_one_is_not_running(self, doctor: CommandLine) -> None:
        doctor.settings = replace(doctor.settings, database=replace(doctor.settings.database, url=""))
        assert states(doctor, "database") == ["warning"]

    def test_schema_is_a_fault_when_the_database_is_empty(self, doctor: CommandLine) -> None:
        doctor.value("DROP SCHEMA public CASCADE")
        doctor.value("CREATE SCHEMA public")
        ((state, text),) = findings(doctor, "schema", status=1)
        assert state == "FAULT"
        assert "migrate" in text


class TestLedger:
    def test_ledger_is_a_fault_when_a_balance_was_changed_by_hand(self, doctor: CommandLine) -> None:
        doctor("demo")
        assert states(doctor, "ledger") == ["ok"]
        doctor.value("UPDATE account_balance SET balance = balance + 0.01")
        found = findings(doctor, "ledger", status=1)
        assert found[0] == ("FAULT", "DEMO0001: balance 1000.01, entries 1000.00")
        assert len(found) == 3

    def test_ledger_is_well_after_payments(self, doctor: CommandLine) -> None:
        doctor("demo")
        doctor.sql(lambda connection: post_payment(connection, "DEMO0001", Decimal("0.1"), reference=None))
        assert states(doctor, "ledger") == ["ok"]


class TestJournalLimit:
    @pytest.mark.parametrize(
        ("waiting", "limit", "state"),
        [(499, 1000, "ok"), (500, 1000, "warning"), (1000, 1000, "FAULT"), (10**9, 0, "ok")],
    )
    def test_journal_warns_long_before_calls_are_refused(
        self, doctor: CommandLine, worker: Worker, waiting: int, limit: int, state: str
    ) -> None:
        beat(doctor)
        worker.answers["ping"] |= {"journal_waiting": waiting, "journal_limit": limit}
        assert states(doctor, "journal limit", status=int(state == "FAULT")) == [state]


class TestWriter:
    def test_writer_is_a_fault_when_it_is_silent_while_calls_run(self, doctor: CommandLine, worker: Worker) -> None:
        assert states(doctor, "CDR writer", status=1) == ["FAULT"]
        beat(doctor, age=30, backlog=5)
        assert states(doctor, "CDR writer", status=1) == ["FAULT"]
        assert states(doctor, "journal", status=1) == ["warning"]
        beat(doctor, age=5, backlog=5)
        assert states(doctor, "CDR writer") == states(doctor, "journal") == ["ok"]

    def test_writer_is_a_warning_when_nothing_runs(self, doctor: CommandLine) -> None:
        beat(doctor, age=3600)
        assert states(doctor, "CDR writer") == ["warning"]
        assert states(doctor, "journal") == ["ok"]

    def test_journal_is_a_warning_when_the_writer_does_not_keep_up(self, doctor: CommandLine) -> None:
        beat(doctor, backlog=10**9)
        assert states(doctor, "journal") == ["warning"]


class TestLiveStore:
    def test_live_store_is_a_fault_when_its_url_leads_nowhere(self, doctor: CommandLine) -> None:
        url = "unix:///nonexistent/valkey.sock"
        doctor.settings = replace(doctor.settings, live=replace(doctor.settings.live, url=url))
        assert states(doctor, "live store", status=1) == ["FAULT"]
        assert states(doctor, "counters", status=1) == ["warning"]

    def test_live_store_is_a_warning_when_the_embedded_one_is_not_running(self, doctor: CommandLine) -> None:
        doctor.settings = replace(doctor.settings, live=replace(doctor.settings.live, url=""))
        assert states(doctor, "live store") == ["warning"]

    def test_password_is_not_shown(self, doctor: CommandLine) -> None:
        url = "valkey://user:secret@127.0.0.1:1/0"
        doctor.settings = replace(doctor.settings, live=replace(doctor.settings.live, url=url))
        assert "secret" not in doctor("doctor", status=1).stdout

    def test_live_store_is_a_warning_when_it_may_forget(self, doctor: CommandLine) -> None:
        async def forgetful(live: Valkey) -> None:
            await live.config_set("maxmemory-policy", "allkeys-lru")

        async def faithful(live: Valkey) -> None:
            await live.config_set("maxmemory-policy", "noeviction")

        in_valkey(doctor, forgetful)
        try:
            assert states(doctor, "live store") == ["ok", "warning"]
        finally:
            in_valkey(doctor, faithful)


class TestWorkers:
    def test_worker_is_a_warning_when_it_drains(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        worker.answers["ping"]["draining"] = True
        assert states(doctor, "SIP worker") == ["warning"]

    def test_worker_is_a_fault_when_another_has_died(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(run_directory(doctor.settings) / "sip-2.sock"))
        assert findings(doctor, "SIP worker", status=1)[0] == ("FAULT", "sip-2 has died")

    def test_worker_is_a_fault_when_it_holds_its_socket_and_is_silent(self, doctor: CommandLine) -> None:
        directory = run_directory(doctor.settings)
        directory.mkdir()
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.bind(str(directory / "sip-1.sock"))
            stuck.listen()
            assert findings(doctor, "SIP worker", status=1) == [("FAULT", "sip-1 does not answer")]

    def test_worker_is_only_missing_when_nothing_runs_but_its_socket_is_left(self, doctor: CommandLine) -> None:
        directory = run_directory(doctor.settings)
        directory.mkdir()
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(directory / "sip-1.sock"))
        assert findings(doctor, "SIP worker") == [("warning", "none runs on this machine")]


class TestCounters:
    """The server is named by a URL here, so workers of other machines may count in it: a warning at most."""

    @staticmethod
    def count(doctor: CommandLine, instance: str, number: int) -> None:
        async def work(live: Valkey) -> None:
            await cast("Awaitable[int]", live.hset(KEY, instance, str(number)))

        in_valkey(doctor, work)

    def test_counter_is_stale_when_its_worker_is_gone(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        self.count(doctor, "sip-1:Z", 2)
        assert findings(doctor, "counters") == [("warning", f"{KEY} counts 2 of sip-1:Z, which is not running here")]

    def test_counter_is_wrong_when_its_worker_has_no_calls(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        self.count(doctor, "sip-1:A", -1)
        assert findings(doctor, "counters") == [("warning", f"{KEY} counts -1 of sip-1:A, which has no calls")]

    def test_counter_is_well_when_its_worker_has_calls_or_it_is_zero(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        self.count(doctor, "sip-1:A", 2)
        self.count(doctor, "sip-1:Z", 0)
        worker.answers["ping"]["calls"] = 2
        assert states(doctor, "counters") == ["ok"]

    def test_counter_is_a_fault_when_the_live_store_is_ours_alone(
        self, doctor: CommandLine, worker: Worker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url = doctor.settings.live.url
        monkeypatch.setattr("b2bua.cli.doctor.live_url", lambda _: url)
        doctor.settings = replace(doctor.settings, live=replace(doctor.settings.live, url=""))
        beat(doctor)

        async def work(live: Valkey) -> None:
            await cast("Awaitable[int]", live.hset(KEY, "sip-1:Z", "1"))

        ours = replace(doctor.settings, live=replace(doctor.settings.live, url=url))
        in_valkey(CommandLine(ours), work)
        assert states(doctor, "counters", status=1) == ["FAULT"]


class TestPorts:
    @pytest.fixture(params=["udp", "tcp"])
    def listener(self, request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
        kind = socket.SOCK_DGRAM if request.param == "udp" else socket.SOCK_STREAM
        with socket.socket(socket.AF_INET, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind(("127.0.0.1", 0))
            if request.param == "tcp":
                listener.listen()
            yield f"{request.param}://127.0.0.1:{listener.getsockname()[1]}", listener

    def test_port_is_a_fault_when_another_program_has_it(
        self, doctor: CommandLine, listener: tuple[str, socket.socket]
    ) -> None:
        with_listener(doctor, listener[0])
        assert findings(doctor, "port", status=1)[0] == ("FAULT", f"{listener[0]} taken by another program")

    def test_port_is_well_when_it_is_taken_while_we_run(
        self, doctor: CommandLine, worker: Worker, listener: tuple[str, socket.socket]
    ) -> None:
        beat(doctor)
        with_listener(doctor, listener[0])
        assert findings(doctor, "port")[0] == ("ok", f"{listener[0]} listening")

    def test_port_is_a_fault_when_nobody_listens_while_we_run(
        self, doctor: CommandLine, worker: Worker, listener: tuple[str, socket.socket]
    ) -> None:
        beat(doctor)
        with_listener(doctor, listener[0])
        listener[1].close()
        assert states(doctor, "port", status=1)[0] == "FAULT"

    def test_port_is_a_fault_when_the_address_is_not_ours(self, doctor: CommandLine) -> None:
        with_listener(doctor, "udp://192.0.2.1:5060")
        state, text = findings(doctor, "port", status=1)[0]
        assert state == "FAULT"
        assert "cannot be used" in text

    def test_port_is_read_when_the_address_is_ipv6(self, doctor: CommandLine) -> None:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as listener:
            listener.bind(("::1", 0))
            with_listener(doctor, f"udp://[::1]:{listener.getsockname()[1]}")
            assert states(doctor, "port", status=1)[0] == "FAULT"
        assert states(doctor, "port")[0] == "ok"

    def test_port_is_a_fault_when_the_address_is_none(self, doctor: CommandLine) -> None:
        with_listener(doctor, "udp://127.0.0.1:sip")
        assert states(doctor, "port", status=1) == ["FAULT"]

    def test_port_is_not_looked_at_when_any_will_do(self, doctor: CommandLine, worker: Worker) -> None:
        beat(doctor)
        with_listener(doctor, "udp://127.0.0.1:0")
        assert findings(doctor, "port")[0] == ("ok", "udp://127.0.0.1:0 any free port")


class TestMachine:
    def test_capability_is_read_from_its_bit(self, tmp_path: Path) -> None:
        status = tmp_path / "status"
        status.write_text(f"Name:\tx\nCapEff:\t{1 << CAP_NET_ADMIN:016x}\n")
        assert checks.describe_capability(status).startswith("yes")
        status.write_text("Name:\tx\nCapEff:\t0000000000000000\n")
        assert checks.describe_capability(status).startswith("no")
        assert checks.describe_capability(tmp_path / "none").startswith("unknown")

    def test_disk_is_a_fault_when_it_is_nearly_full(self, doctor: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(checks, "LEAST_FREE", 2**62)
        assert states(doctor, "disk", status=1) == ["FAULT"]

    def test_clock_is_a_fault_when_it_differs(self, doctor: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
        assert states(doctor, "clock") == ["ok"]
        monkeypatch.setattr(checks, "LARGEST_CLOCK_DIFFERENCE", -1.0)
        assert states(doctor, "clock", status=1) == ["FAULT"]


class TestGateway:
    """Gateways are where their names say."""

    ZONE = """$ORIGIN carrier.example.
$TTL 300
@          SOA ns hostmaster 1 3600 600 86400 60
_sip._udp  SRV 1 0 5070 one
_sip._udp  SRV 2 0 5060 two
one        A   192.0.2.1
two        A   192.0.2.2
"""

    @pytest.fixture
    def named(self, doctor: CommandLine) -> Iterator[CommandLine]:
        """A doctor who asks a DNS server of the test's own."""
        loop = asyncio.new_event_loop()
        server = DNSServer()
        loop.run_until_complete(server.open())
        server.load(self.ZONE)
        thread = threading.Thread(target=loop.run_forever)
        thread.start()
        doctor("demo")
        doctor.settings = replace(doctor.settings, dns=DNSSettings((server.address,)))
        with_listener(doctor, "udp://127.0.0.1:0")
        try:
            yield doctor
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            server.close()
            loop.run_until_complete(asyncio.sleep(0))  # sockets are closed in the next turn
            loop.close()

    def test_gateways_are_well_when_each_is_given_by_its_address(self, doctor: CommandLine) -> None:
        doctor("demo")
        with_listener(doctor, "udp://127.0.0.1:0")
        assert findings(doctor, "gateway") == [("ok", "2 in use, each given by its address")]

    def test_servers_are_shown_when_a_gateway_has_a_name(self, named: CommandLine) -> None:
        named("gateway", "set", "demo-a", "--host", "carrier.example", "--port", "none")
        assert findings(named, "gateway") == [
            ("ok", "demo-a: carrier.example is at udp:192.0.2.1:5070, udp:192.0.2.2:5060")
        ]

    @pytest.mark.parametrize(
        ("host", "reason"), [("nobody.carrier.example", "there is no such server"), ("else.example", "REFUSED")]
    )
    def test_gateway_is_a_fault_when_its_name_leads_nowhere(self, named: CommandLine, host: str, reason: str) -> None:
        named("gateway", "set", "demo-a", "--host", host)
        ((state, text),) = findings(named, "gateway", status=1)
        assert (state, text.partition(":")[0]) == ("FAULT", "demo-a cannot be found")
        assert reason in text

    def test_gateway_is_a_warning_when_we_do_not_listen_on_its_transport(self, named: CommandLine) -> None:
        named("gateway", "set", "demo-a", "--transport", "tls")
        assert findings(named, "gateway") == [("warning", "demo-a: nothing of ours listens on tls")]

    def test_gateway_is_not_looked_at_when_it_is_switched_off(self, named: CommandLine) -> None:
        named("gateway", "set", "demo-a", "--host", "else.example", "--status", "inactive")
        assert findings(named, "gateway") == [("ok", "1 in use, each given by its address")]
