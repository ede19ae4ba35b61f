"""The journals in a backup: every segment that one state of the database has not committed yet, and how they come back.

The writer process removes a segment once it is committed. So segments are linked before and after the snapshot is
taken, under names that it does not look for, and cannot vanish until they are copied. What the workers write meanwhile
is copied too, up to the last whole line. After a restore every journal is read from its start: records that the
database has already are known by their call id and attempt, and are neither written nor charged again.
"""

import fcntl
import os
import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cdr.errors import RecordError
from cdr.journal import calls_up, encode_line, read_lines, segment_path, segments
from conf.backup import JOURNAL, Part, Snapshot, sync_directory

_LINKS: Final = "backup-"
_KEPT: Final = ("*.damaged", "refused.journal-lines")
"""Files that a person has to look at; they are in no database either."""

_BLOCK: Final = 64 * 1024


class JournalsInUse(RecordError):
    """A worker writes a journal that was to be replaced."""


class JournalLinks:
    """Holds the segments of all journals of this machine while a backup is made: `with JournalLinks(…) as links`.

    Args:
        journals: Directory with one directory per worker.
    """

    def __init__(self, journals: Path) -> None:
        self._journals = journals

    def __enter__(self) -> "JournalLinks":
        self._clean()
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers():
            shutil.rmtree(self._links_of(worker), ignore_errors=True)

    def _workers(self) -> list[Path]:
        return sorted(path for path in self._journals.glob("*") if path.is_dir() and not path.is_symlink())

    def _links_of(self, worker: Path) -> Path:
        return worker / f"{_LINKS}{os.getpid()}"

    def _clean(self) -> None:
        """Remove what a backup that was killed has left."""
        for worker in self._workers():
            for links in worker.glob(f"{_LINKS}*"):
                pid = links.name.removeprefix(_LINKS)
                if pid.isdecimal() and (int(pid) == os.getpid() or not Path(f"/proc/{pid}").exists()):
                    shutil.rmtree(links, ignore_errors=True)

    def add(self) -> None:
        """Link the segments that there are now."""
        for worker in self._workers():
            links = self._links_of(worker)
            links.mkdir(mode=0o700, exist_ok=True)
            for number in segments(worker):
                try:
                    os.link(segment_path(worker, number), segment_path(links, number))
                except FileExistsError:
                    continue
                except FileNotFoundError:
                    continue  # committed and removed in this moment

    def has(self, positions: Mapping[str, int]) -> bool:
        """Whether every journal is here from the segment on that the database was reading."""
        for worker in self._workers():
            linked = segments(self._links_of(worker))
            if worker.name in positions and linked and positions[worker.name] not in linked:
                return False
        return True

    def parts(self, positions: Mapping[str, int]) -> list[Part]:
        """What belongs into the backup: segments that are not committed, and what a person has to look at."""
        found = []
        for worker in self._workers():
            links = self._links_of(worker)
            files = [segment_path(links, n) for n in segments(links) if n >= positions.get(worker.name, 0)]
            files += [path for pattern in _KEPT for path in sorted(worker.glob(pattern))]
            found += [Part(f"{JOURNAL}/{worker.name}/{path.name}", path, _whole_lines(path)) for path in files]
        return found


async def read_positions(snapshot: Snapshot) -> dict[str, int]:
    """The segment of each worker that the database was reading."""
    rows = await snapshot.connection.fetch("SELECT worker, segment FROM journal_position")
    return {row["worker"]: row["segment"] for row in rows}


def _whole_lines(path: Path) -> int:
    """Bytes of a file up to the end of its last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end > 0:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
    return 0


def has_records(journals: Path) -> bool:
    """Whether the journals of this machine hold anything, in the database or not."""
    for worker in journals.glob("*"):
        if any(path for pattern in _KEPT for path in worker.glob(pattern)):
            return True
        for number in segments(worker):
            # The first line of a segment says whose it is.
            if any(line["kind"] != "segment" for _, line in read_lines(segment_path(worker, number), 0, 2)):
                return True
    return False


def check_unused(journals: Path) -> None:
    """Verify that no worker runs.

    Raises:
        JournalsInUse: one does.
    """
    for lock in sorted(journals.glob("*/lock")):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise JournalsInUse(f"worker {lock.parent.name} is running; stop it first") from None
        finally:
            os.close(descriptor)


def put_aside(journals: Path, now: datetime) -> Path | None:
    """Move the journals that there are out of the way; returns where they are, None where they held nothing."""
    if not journals.exists():
        return None
    if not has_records(journals):
        shutil.rmtree(journals)
        return None
    aside = journals.with_name(f"{journals.name}.replaced-{now.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}")
    journals.rename(aside)
    sync_directory(journals.parent)
    return aside


def put_back(journals: Path, directory: Path, names: Sequence[str], made_at: datetime) -> None:
    """Put the journals of a backup, unpacked below a directory, into their place.

    Calls that were up when the backup was made are long over: nobody shall pay for more of them than is known.
    """
    for name in names:
        _, worker, file = name.split("/")
        place = journals / worker
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
        partial = place / f"{file}.partial"
        shutil.copyfile(directory / name, partial)
        partial.chmod(0o600)
        with partial.open("rb") as copied:
            os.fsync(copied.fileno())
        partial.rename(place / file)
        sync_directory(place)
    for worker in {name.split("/")[1] for name in names}:
        _end_calls(journals / worker, made_at.timestamp())


def _end_calls(directory: Path, at: float) -> None:
    """Begin a segment in which the calls that were up end at that moment, or where they were answered after it."""
    lines = calls_up(directory)
    if not lines:
        return
    for line in lines:
        line["deadline"] = min(line["deadline"], max(at, line["record"]["answered_at"]))
    head = {"kind": "segment", "worker": directory.name, "instance": "restore", "at": at}
    path = segment_path(directory, segments(directory)[-1] + 1)
    partial = path.with_suffix(".partial")
    with open(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
        file.writelines(encode_line(line) for line in [head, *lines])
        file.flush()
        os.fsync(file.fileno())
    partial.rename(path)
    sync_directory(directory)
