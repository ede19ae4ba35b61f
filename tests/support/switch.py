"""A whole switch in a directory of its own, with the demo data and free ports: for integration tests and benchmarks."""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import hiredis

NUMBER = "442079460000"
"""A number that the demo's tariffs and route know."""


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    """A port of 127.0.0.1 that nobody uses just now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, patience: float = 15.0) -> Any:
    """Look until a condition holds and return what it gave; fail naming `what` when it never does."""
    deadline = time.monotonic() + patience
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {patience:.0f} s in vain for {what}"
        time.sleep(0.05)
    return found


class Switch:
    """One `softswitch run`.

    Args:
        directory: For its data and log; the servers' user must be able to enter it.
        settings: More settings by the names of their environment variables.
    """

    def __init__(self, directory: Path, **settings: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.panel_port = free_port(socket.SOCK_STREAM)
        self.carrier_ports = (free_port(), free_port())
        self.dns_port = free_port()
        """Where it asks for names of gateways; a test may answer."""
        self.tls_port = free_port(socket.SOCK_STREAM) if "SOFTSWITCH_TLS__CERTIFICATE" in settings else 0
        secure = f",tls://127.0.0.1:{self.tls_port},wss://127.0.0.1:0"
        listen = f"udp://127.0.0.1:{self.port},tcp://127.0.0.1:{self.port}"
        self.environ = {
            **os.environ,
            "SOFTSWITCH_SYSTEM__DIRECTORY": str(directory / "data"),
            "SOFTSWITCH_SYSTEM__LOG_LEVEL": "info",
            "SOFTSWITCH_SIP__LISTEN": listen + (secure if self.tls_port else ""),
            "SOFTSWITCH_DNS__NAMESERVERS": f"127.0.0.1:{self.dns_port}",
            # As root it would change the rules of this machine, not of a namespace of ours.
            "SOFTSWITCH_BAN__FIREWALL": "false",
            "SOFTSWITCH_PANEL__LISTEN": f"127.0.0.1:{self.panel_port}",
            **settings,
        }
        self.log_path = directory / "switch.log"
        self.process: subprocess.Popen[bytes] | None = None

    # Running

    def start(self) -> None:
        """Start it, load the demo data, and point the demo's gateways at our own ports."""
        logged = len(self.log())
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "b2bua", "run"], env=self.environ, stdout=log, stderr=log
            )
        process = self.process
        wait_until(lambda: process.poll() is not None or "ready after" in self.log()[logged:], "the switch", 60.0)
        assert process.poll() is None, self.log()[-2000:]

    def load_demo(self) -> None:
        """Load the demo data without limits."""
        self.command("demo")
        for name, port in zip(("demo-a", "demo-b"), self.carrier_ports, strict=True):
            self.command("gateway", "set", name, "--port", str(port))
        for code in ("DEMO0001", "DEMO0002"):
            self.set_account(code, max_sessions="none", cps="none")

    def set_account(self, code: str, **limits: str) -> None:
        """Change limits of an account and wait until the worker knows."""
        options = [part for name, value in limits.items() for part in (f"--{name.replace('_', '-')}", value)]
        self.command("account", "set", code, *options)
        self.wait_for_configuration()

    def wait_for_configuration(self) -> None:
        """Wait until the worker has the newest revision."""
        newest = self.query("SELECT revision FROM config_revision")[0]["revision"]
        wait_until(lambda: self.ask("ping")["revision"] >= newest, "the configuration to arrive")

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it and return its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        try:
            return self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def log(self) -> str:
        """All that it has logged."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    # Asking

    def command(self, *arguments: str, check: bool = True) -> str:
        """Run a `softswitch` command and return what it prints."""
        line = [sys.executable, "-m", "b2bua", *arguments]
        done = subprocess.run(line, env=self.environ, check=False, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout

    def query(self, sql: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""

        async def ask() -> list[asyncpg.Record]:
            directory = self.run_directory
            connection = await asyncpg.connect(host=str(directory), user="softswitch", database="softswitch")
            try:
                return await connection.fetch(sql, *arguments)
            finally:
                await connection.close()

        return asyncio.run(ask())

    @property
    def run_directory(self) -> Path:
        """Where the sockets are."""
        return Path(self.environ["SOFTSWITCH_SYSTEM__DIRECTORY"]) / "run"

    def ask(self, verb: str, **arguments: object) -> dict[str, Any]:
        """Ask the worker over its control socket; an empty answer when it is not there."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(5.0)
            try:
                control.connect(str(self.run_directory / "sip-1.sock"))
                control.sendall(json.dumps({"verb": verb, **arguments}).encode() + b"\n")
                data = b""
                while not data.endswith(b"\n"):
                    piece = control.recv(65536)
                    if not piece:
                        return {"revision": 0, "calls": -1}
                    data += piece
            except OSError:
                return {"revision": 0, "calls": -1}
        answer: dict[str, Any] = json.loads(data)
        return answer

    def live(self, *command: str) -> Any:
        """Ask the live store."""
        reader = hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as store:
            store.connect(str(self.run_directory / "valkey.sock"))
            store.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub takes one part only
            while (reply := reader.gets()) is False:
                reader.feed(store.recv(65536))
        return reply

    def session_counters(self) -> list[str]:
        """Keys of sessions that are taken."""
        return sorted(key.decode() for key in self.live("KEYS", "sessions:*"))

    def records(self, where: str = "true") -> list[asyncpg.Record]:
        """Call detail records, oldest first."""
        return self.query(
            "SELECT call_id, attempt, is_last, code, object, sip_code, q850_cause, ended_by, reason, duration, gross,"
            " a_call_id, source_sent, destination_sent, gateway_id, received_at, codec_used, codecs_offered"
            f" FROM cdr WHERE {where} ORDER BY received_at, call_id, attempt"
        )

    def recorded_calls(self) -> int:
        """How many calls the records stand for."""
        return int(self.query("SELECT coalesce(sum(calls), 0) AS calls FROM cdr WHERE is_last")[0]["calls"])

    def wait_for_records(self, count: int, where: str = "true") -> list[asyncpg.Record]:
        """Wait until there are so many."""

        def enough() -> list[asyncpg.Record]:
            found = self.records(where)
            return found if len(found) >= count else []

        return list(wait_until(enough, f"{count} records where {where}")) if count else self.records(where)

    def all_is_written(self) -> bool:
        """Whether every record of the journal is in the database."""
        last = max((Path(self.environ["SOFTSWITCH_SYSTEM__DIRECTORY"]) / "journal" / "sip-1").glob("*.journal"))
        places = self.query('SELECT segment, "offset" FROM journal_position')
        return [tuple(place) for place in places] == [(int(last.stem), last.stat().st_size)]

    def forget_records(self) -> None:
        """Remove every record, so that a test sees only its own."""
        wait_until(self.all_is_written, "the records to be written")
        self.query("TRUNCATE cdr, cdr_charge")

    # Processes

    def child(self, word: str) -> int:
        """Process id of the child whose command line has a word (`sip`, `cdr`, `admin`); 0: none."""
        assert self.process is not None
        for pid in descendants(self.process.pid):
            try:
                line = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if word.encode() in line and b"-m" in line:
                return pid
        return 0

    def memory_mb(self, word: str = "sip") -> float:
        """Resident memory of a child, in MB."""
        status = Path(f"/proc/{self.child(word)}/status").read_text()
        match = re.search(r"VmRSS:\s+(\d+)", status)
        assert match is not None
        return int(match[1]) / 1024


def descendants(pid: int) -> list[int]:
    """Process ids of all children of a process, and theirs."""
    found, queue = [], [pid]
    while queue:
        parent = queue.pop()
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found += [int(child) for child in children]
        queue += [int(child) for child in children]
    return found


@contextmanager
def switch_directory() -> Iterator[Path]:
    """A temporary directory that the servers' own user can enter when root runs the switch."""
    base = Path(tempfile.mkdtemp(prefix="softswitch-"))
    base.chmod(0o711)
    try:
        yield base
    finally:
        shutil.rmtree(base, ignore_errors=True)


@contextmanager
def running_switch(**settings: str) -> Iterator[Switch]:
    """A switch with the demo data."""
    with switch_directory() as directory:
        switch = Switch(directory, **settings)
        try:
            switch.start()
            switch.load_demo()
            yield switch
        finally:
            if switch.process is not None and switch.process.poll() is None:
                switch.stop()
