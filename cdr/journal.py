r"""The journal: what a worker must not forget, on its disk before anybody is answered (docs/behaviour.md §7).

A directory per worker with numbered segments. A segment is lines of `<CRC-32, 8 hex> <JSON>\n`; a line that the crash
cut short fails its check and is the end. Kinds of lines:

    {"kind": "segment", "worker": …, "instance": …, "at": …}      begins every segment
    {"kind": "answered", "record": …, "levels": …, "dialogs": …}  a call is up; repeated at the head of a new segment;
                                                                  with "media": […], its names at media engines
    {"kind": "funded", "call_id": …, "attempt": …, "seconds": …}  its funds now pay so many seconds from the answer on
    {"kind": "dialogs", "call_id": …, "attempt": …, "dialogs": …}  these are its dialogs, and "media", from now on
    {"kind": "cdr", "record": …, "charges": …}                    an attempt has ended
    {"kind": "trace", "call_id": …, "received_at": …, "messages": …}  the SIP messages of a call that is over
    {"kind": "media", "call_id": …, "attempt": …, "received_at": …,
     "caller": …, "callee": …}                                    what an engine measured of such a call (`cdr.media`)

`append` collects, `flush` writes what was collected with one write(2), and a thread syncs it to disk at most
`sync_interval` later. The writer process follows (`read_lines`) and removes segments that it has committed.
"""

import fcntl
import json
import os
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

import orjson
import structlog

from cdr.errors import JournalLocked

log = structlog.get_logger()

_SUFFIX: Final = ".journal"


def segment_path(directory: Path, number: int) -> Path:
    """The file of a segment."""
    return directory / f"{number:010d}{_SUFFIX}"


def segments(directory: Path) -> list[int]:
    """Numbers of the segments that exist, in order."""
    return sorted(int(path.stem) for path in directory.glob(f"*{_SUFFIX}") if path.stem.isdigit())


def is_locked(directory: Path) -> bool:
    """Whether a worker writes this journal just now."""
    try:
        file = os.open(directory / "lock", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(file)


def waiting_bytes(directory: Path, segment: int, offset: int) -> int:
    """Bytes of a journal behind a place in it."""
    total = 0
    for number in segments(directory):
        if number < segment:
            continue
        try:
            size = segment_path(directory, number).stat().st_size
        except FileNotFoundError:
            continue  # the writer process has just removed it
        total += max(0, size - offset) if number == segment else size
    return total


def encode_line(data: dict[str, Any]) -> bytes:
    """One line of a journal."""
    try:
        body = orjson.dumps(data)
    except TypeError:
        # A peer's header may hold bytes that are no text: they become question marks, the record is not lost.
        body = json.dumps(data, default=asdict, ensure_ascii=False).encode("utf-8", "replace")
    return b"".join((f"{zlib.crc32(body):08x} ".encode(), body, b"\n"))


def read_lines(path: Path, offset: int, limit: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Read whole, undamaged lines from an offset; yields the offset behind each line and what it says.

    Stops before a line that is unfinished or fails its check: it is still being written, or the crash cut it short.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for _ in range(limit):
            line = file.readline()
            if len(line) < 12 or not line.endswith(b"\n"):
                return
            body = line[9:-1]
            if line[:8] != b"%08x" % zlib.crc32(body):
                return
            offset += len(line)
            yield offset, orjson.loads(body)


def calls_up(directory: Path) -> list[dict[str, Any]]:
    """The `answered` lines of a journal's calls that are up: those without a `cdr` line of the same attempt.

    The newest segment has them all, since the calls that were up stand at its head.
    """
    up: dict[tuple[str, int], dict[str, Any]] = {}
    numbers = segments(directory)
    if not numbers:
        return []
    for _, line in read_lines(segment_path(directory, numbers[-1]), 0, sys.maxsize):
        if line["kind"] in ("segment", "trace", "media"):
            continue
        if line["kind"] in ("funded", "dialogs"):
            call = up.get((line["call_id"], line["attempt"]))
            if call is not None:
                _renew(call, line)
            continue
        key = (line["record"]["call_id"], line["record"]["attempt"])
        if line["kind"] == "answered":
            up[key] = line
        else:
            up.pop(key, None)
    return list(up.values())


def _renew(call: dict[str, Any], line: dict[str, Any]) -> None:
    if line["kind"] == "funded":
        call["deadline"] = call["record"]["answered_at"] + line["seconds"]
    else:
        call["dialogs"] = line["dialogs"]
        call["media"] = line.get("media", [])


class JournalWriter:
    """Writes one worker's journal.

    Args:
        directory: Of this worker; made if missing.
        worker: Its name.
        instance: Name of this run of it.
        segment_size: Bytes after which a new segment is begun; the calls that it carried do not count.
        sync_interval: Longest time until what was written is synced, in seconds.
        carried: Gives the `answered` lines of the calls that are up, for the head of a new segment.
        limit: Bytes that may wait for the writer process before `is_stuck` says that it is enough; 0: any number.

    Raises:
        JournalLocked: another process writes it.
    """

    def __init__(
        self,
        directory: Path,
        worker: str,
        instance: str,
        *,
        segment_size: int,
        sync_interval: float,
        carried: Callable[[], list[dict[str, Any]]] = list,
        limit: int = 0,
    ) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._directory = directory
        self._worker = worker
        self._instance = instance
        self._segment_size = segment_size
        self._carried = carried
        self._buffer: list[bytes] = []
        self._lock_file = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not _lock(self._lock_file):
            os.close(self._lock_file)
            raise JournalLocked(f"journal {directory} is written by another process")
        self._file = -1
        self._size = 0
        self.limit = limit
        self.waiting = 0
        """Bytes that wait for the writer process: what `measure` found, and what was written since."""
        self._is_refused = False
        self._syncer = _Syncer(sync_interval)

    @property
    def is_stuck(self) -> bool:
        """Whether no more calls should come: the disk takes no records, or too many wait for the writer process."""
        return self._is_refused or 0 < self.limit <= self.waiting

    def measure(self, segment: int, offset: int) -> None:
        """Count again what waits, now that the writer process has committed up to this place."""
        self.waiting = waiting_bytes(self._directory, segment, offset)

    def recover(self) -> list[dict[str, Any]]:
        """The `answered` lines of calls that earlier runs left up."""
        return calls_up(self._directory)

    def open(self, now: float, carried: list[dict[str, Any]]) -> None:
        """Begin this run's first segment; `carried` are the calls that it takes over."""
        numbers = segments(self._directory)
        self._begin(numbers[-1] + 1 if numbers else 1, now, carried)
        self.measure(0, 0)

    def _begin(self, number: int, now: float, carried: list[dict[str, Any]]) -> None:
        head = {"kind": "segment", "worker": self._worker, "instance": self._instance, "at": now}
        data = b"".join(encode_line(line) for line in [head, *carried])
        # Written whole under another name first: a segment that exists has its carried calls.
        path = segment_path(self._directory, number)
        partial = path.with_suffix(".partial")
        file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            _write_all(file, data)
            os.fsync(file)
            partial.rename(path)
        except OSError:
            os.close(file)
            raise
        if self._file >= 0:
            self._syncer.close(self._file)
        self._file, self._size, self._number = file, len(data), number
        self.waiting += len(data)
        # The carried calls do not count, or many of them would fill every segment at its start.
        self._full_at = len(data) + self._segment_size

    @property
    def position(self) -> tuple[int, int]:
        """Segment and offset behind all that was appended so far."""
        return self._number, self._size + sum(len(line) for line in self._buffer)

    def unposted(self, position: tuple[int, int]) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        """The `cdr` lines behind a position, each with the position behind it."""
        for number in segments(self._directory):
            if number >= position[0]:
                start = position[1] if number == position[0] else 0
                for offset, line in read_lines(segment_path(self._directory, number), start, sys.maxsize):
                    if line["kind"] == "cdr":
                        yield (number, offset), line

    @property
    def has_lines(self) -> bool:
        """Whether `flush` has anything to write."""
        return bool(self._buffer)

    def append(self, line: dict[str, Any]) -> None:
        """Collect a line for the next `flush`."""
        self._buffer.append(encode_line(line))

    def append_trace(self, line: dict[str, Any]) -> bool:
        """Collect the messages of a call, if there is plenty of room; records need what there is otherwise."""
        if self._is_refused or 0 < self.limit <= 2 * self.waiting:
            return False
        self.append(line)
        return True

    def flush(self, now: float) -> None:
        """Write what was collected; it survives the end of this process from now on.

        What the disk does not take is kept and tried again at the next turn; `is_stuck` says so meanwhile.
        """
        if not self._buffer:
            return
        data = b"".join(self._buffer)
        try:
            _write_all(self._file, data)
        except OSError as error:
            os.ftruncate(self._file, self._size)  # half a line in the middle would hide all that follows
            if not self._is_refused:
                log.critical("journal cannot be written, new calls are refused", error=str(error))
            self._is_refused = True
            return
        self._is_refused = False
        self._buffer.clear()
        self._size += len(data)
        self.waiting += len(data)
        self._syncer.request(self._file)
        if self._size >= self._full_at:
            try:
                self._begin(self._number + 1, now, self._carried())
            except OSError as error:
                log.warning("no new journal segment can be begun, the old one goes on", error=str(error))

    def size(self) -> int:
        """Bytes of all segments."""
        return waiting_bytes(self._directory, 0, 0)

    def close(self, now: float) -> None:
        """Write and sync the rest."""
        self.flush(now)
        self._syncer.stop()
        if self._file >= 0:
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1
        os.close(self._lock_file)


def _lock(file: int) -> bool:
    """Take the lock; `is_locked` holds it for an instant to see whether it is free, so a few more tries are made."""
    for _ in range(10):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.01)
        else:
            return True
    return False


def _write_all(file: int, data: bytes) -> None:
    written = os.write(file, data)
    while written < len(data):
        written += os.write(file, memoryview(data)[written:])


class _Syncer:
    """A thread that syncs the current file some time after it was asked to, so that the loop never waits for a disk."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._dirty: int | None = None
        self._asked: SimpleQueue[tuple[int, bool]] = SimpleQueue()
        """Files to sync, each with whether to close it then; below 0: the thread is to end."""
        self._thread = threading.Thread(target=self._run, name="journal-sync", daemon=True)
        self._thread.start()

    def request(self, file: int) -> None:
        """Sync this file within the interval."""
        if self._dirty != file:
            # Another one that was dirty is being closed, and synced then.
            self._dirty = file
            self._asked.put((file, False))

    def close(self, file: int) -> None:
        """Sync a file for the last time and close it."""
        self._asked.put((file, True))

    def stop(self) -> None:
        """End the thread after what it has to do."""
        self._asked.put((-1, False))
        self._thread.join(5.0)

    def _run(self) -> None:
        # As little Python as can be: each step takes the interpreter from the loop, and finds its memory cold.
        came: tuple[int, bool] | None = None
        while True:
            file, is_closing = came or self._asked.get()
            came = None
            if file < 0:
                return
            if not is_closing:
                with suppress(Empty):
                    came = self._asked.get(timeout=self._interval)
            self._dirty = None  # what is written from here on asks again
            try:
                os.fdatasync(file)
            except OSError as error:
                log.critical("journal cannot be synced", error=str(error))
            if is_closing:
                os.close(file)
