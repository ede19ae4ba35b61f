"""sipp as caller and carrier: its built-in scenarios, those of tests/interop/scenarios, and what was said."""

import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote

from tests.support.switch import NUMBER, free_port, wait_until

SCENARIOS: Final = Path(__file__).parents[1] / "interop" / "scenarios"

_COMMON = ("-i", "127.0.0.1", "-nostdin")


@dataclass(slots=True)
class Result:
    """What the caller counted."""

    succeeded: int
    failed: int


@contextmanager
def carrier(port: int, directory: Path, *options: str) -> Iterator[None]:
    """sipp's built-in carrier (`uas`) on a port."""
    process = subprocess.Popen(
        ["sipp", "-sn", "uas", "-p", str(port), *_COMMON, *options],
        cwd=directory,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


class Load:
    """sipp's built-in caller (`uac`), running.

    Args:
        port: The switch's.
        directory: For sipp's files.
        rate: Calls a second.
        calls: How many in all.
        talk_ms: How long each lasts.
        options: More options of sipp.
    """

    def __init__(self, port: int, directory: Path, rate: int, calls: int, talk_ms: int, *options: str) -> None:
        self._statistics = directory / f"caller-{free_port()}.csv"
        self._timeout = calls / rate + talk_ms / 1000 + 45
        self.process = subprocess.Popen(
            ["sipp", "-sn", "uac", "-p", str(free_port()), *_COMMON, f"127.0.0.1:{port}", "-s", NUMBER,
             "-r", str(rate), "-m", str(calls), "-d", str(talk_ms), "-l", str(max(calls, 1)),
             "-timeout", f"{self._timeout:.0f}s", "-trace_stat", "-fd", "1", "-stf", str(self._statistics), *options],
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def wait(self) -> Result:
        """Wait for its end."""
        self.process.wait(self._timeout + 10)
        return self.count()

    def count(self) -> Result:
        """What it has counted so far."""
        lines = self._statistics.read_text().splitlines() if self._statistics.exists() else []
        if len(lines) < 2:
            return Result(0, 0)
        last = dict(zip(lines[0].split(";"), lines[-1].split(";"), strict=False))
        return Result(int(last["SuccessfulCall(C)"]), int(last["FailedCall(C)"]))


# What was said


@dataclass(slots=True)
class Message:
    """One message of a trace."""

    is_sent: bool
    first_line: str
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: str = ""

    @property
    def status(self) -> int:
        """Of an answer; 0: it is a request."""
        return int(self.first_line.split()[1]) if self.first_line.startswith("SIP/2.0 ") else 0

    def first(self, name: str) -> str:
        """A header's first value, empty where there is none."""
        return self.headers.get(name, [""])[0]

    @property
    def method(self) -> str:
        """Of the request that it is or answers."""
        return self.first("cseq").rpartition(" ")[2]

    @property
    def number(self) -> str:
        """User of the Request-URI."""
        return _user(self.first_line.split()[1])

    @property
    def caller(self) -> str:
        """User of From."""
        return _user(self.first("from"))


def _user(text: str) -> str:
    match = re.search(r"sips?:([^@>]*)@", text)
    return unquote(match[1]) if match else ""


_MESSAGE = re.compile(r"^-{40,} [^\n]*\n(?:UDP|TCP) message (sent|received) [^\n]*:\n\n", re.MULTILINE)


def read_trace(path: Path) -> list[Message]:
    """All that sipp has sent and received, in order."""
    parts = _MESSAGE.split(path.read_text(errors="replace") if path.exists() else "")
    found = []
    for direction, text in zip(parts[1::2], parts[2::2], strict=True):
        head, _, body = text.partition("\n\n")
        lines = head.splitlines()
        message = Message(direction == "sent", lines[0], body=body.rstrip("\n"))
        for line in lines[1:]:
            name, _, value = line.partition(":")
            message.headers.setdefault(name.strip().lower(), []).append(value.strip())
        found.append(message)
    return found


# Scenarios


class Scenario:
    """One side of a call, played by a file of tests/interop/scenarios; it begins at once.

    Args:
        name: Of the file.
        directory: For sipp's own files.
        port: Where it stands; 0: any port.
        host: Likewise.
        to: `host:port` of the switch; empty: it waits for what comes.
        number: What it calls.
        transport: As sipp says it: u1 for UDP, t1 for TCP.
        calls: It has ended after so many.
        talk_ms: How long its pauses are that say nothing else.
        keys: What stands for `[name]` in the file.
        options: More of sipp's.
    """

    def __init__(
        self,
        name: str,
        directory: Path,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        to: str = "",
        number: str = NUMBER,
        transport: str = "u1",
        calls: int = 1,
        talk_ms: int = 0,
        keys: Mapping[str, str] | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.port = port or free_port()
        self._trace = directory / f"{name}-{self.port}.trace"
        self._errors = directory / f"{name}-{self.port}.errors"
        # sipp drops blanks at the beginning of a line in its file.
        known = [part for key, value in {"fold": "\t", **(keys or {})}.items() for part in ("-key", key, value)]
        self._process = subprocess.Popen(
            ["sipp", *((to, "-s", number) if to else ()), "-sf", str(SCENARIOS / f"{name}.xml"),
             "-i", host, "-p", str(self.port), "-t", transport, "-m", str(calls), "-d", str(talk_ms), "-nostdin",
             "-timeout", f"{_PATIENCE}s", "-timeout_error", "-recv_timeout", str(_PATIENCE * 1000),
             "-trace_msg", "-message_file", str(self._trace), "-message_overwrite", "true",
             "-trace_err", "-error_file", str(self._errors), *known, *options],
            cwd=directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        if not to:
            kind = "tcp" if transport.startswith("t") else "udp"
            wait_until(lambda: self._process.poll() is not None or _is_taken(self.port, kind), f"sipp as {name}")
            if self._process.poll() is not None:
                self.wait()

    def messages(self) -> list[Message]:
        """All that it has sent and received."""
        return read_trace(self._trace)

    def received(self, method: str, *, status: int = 0) -> list[Message]:
        """What came: requests of a method, or answers to them with a status."""
        return [
            each for each in self.messages() if not each.is_sent and each.method == method and each.status == status
        ]

    def wait(self) -> None:
        """Wait for its end, which has to be the one that its file foresees."""
        try:
            code = self._process.wait(_PATIENCE + 5)
        except subprocess.TimeoutExpired:
            code = -1
        assert code == 0, f"{self.name} ended with {code}\n{self._said()}"

    def _said(self) -> str:
        texts = [path.read_text(errors="replace") for path in (self._errors, self._trace) if path.exists()]
        return "\n".join(texts) or "sipp wrote nothing"

    def stop(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


_PATIENCE: Final = 12
"""Longest scenario, in seconds."""


def _is_taken(port: int, kind: str) -> bool:
    """Whether somebody listens on a port."""
    state = "0A" if kind == "tcp" else "07"
    lines = [line.split() for name in (kind, f"{kind}6") for line in _sockets(name)]
    return any(fields[1].endswith(f":{port:04X}") and fields[3] == state for fields in lines)


def _sockets(name: str) -> list[str]:
    path = Path("/proc/net") / name
    return path.read_text().splitlines()[1:] if path.exists() else []
