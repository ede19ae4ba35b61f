"""sipp as caller and carrier."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.switch import NUMBER, free_port

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
