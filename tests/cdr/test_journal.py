"""The journal on disk: what was flushed is read back, whatever happens to the process that wrote it."""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from cdr.errors import JournalLocked
from cdr.journal import JournalWriter, encode_line, read_lines, segment_path, segments
from tests.support.records import (
    ARRIVED,
    make_answered_line,
    make_cdr_line,
    make_level,
    make_record,
    make_trace_line,
)

NOW = ARRIVED


@contextmanager
def journal(
    directory: Path,
    *,
    instance: str = "sip-1:a",
    segment_size: int = 1 << 20,
    sync_interval: float = 0.01,
    limit: int = 0,
    up: list[dict[str, Any]] | None = None,
    begun: bool = True,
) -> Iterator[JournalWriter]:
    """A writer of a directory; `up` are the calls that it carries into a new segment."""
    writer = JournalWriter(
        directory,
        "sip-1",
        instance,
        segment_size=segment_size,
        sync_interval=sync_interval,
        limit=limit,
        carried=lambda: list(up or []),
    )
    try:
        if begun:
            writer.open(NOW, writer.recover())
        yield writer
    finally:
        writer.close(NOW)


def lines_of(directory: Path, number: int = 0) -> list[dict[str, Any]]:
    """All lines of a segment; 0: of the newest."""
    path = segment_path(directory, number or segments(directory)[-1])
    return [line for _, line in read_lines(path, 0, sys.maxsize)]


def names(lines: list[dict[str, Any]]) -> list[str]:
    """Kinds of lines with the calls that they are about."""
    return [f"{line['kind']} {line.get('record', {}).get('a_call_id', '')}".strip() for line in lines]


def answered(number: int) -> dict[str, Any]:
    return make_answered_line(make_record(number, answered_at=ARRIVED), [make_level()])


def ended(number: int) -> dict[str, Any]:
    return make_cdr_line(make_record(number, answered_at=ARRIVED), [make_level()])


def renewed(number: int, call_id: str, attempt: int = 1) -> dict[str, Any]:
    record = make_record(number)
    return {"kind": "dialogs", "call_id": record.call_id, "attempt": attempt, "dialogs": [{"call_id": call_id}]}


def dialogs(directory: Path) -> dict[str, list[dict[str, Any]]]:
    """Dialogs of the calls that a new run finds up."""
    with journal(directory, begun=False) as writer:
        return {line["record"]["a_call_id"]: line["dialogs"] for line in writer.recover()}


def recovered(directory: Path) -> list[str]:
    """Calls that a new run finds up."""
    with journal(directory, begun=False) as writer:
        return [line["record"]["a_call_id"] for line in writer.recover()]


class TestLines:
    def test_line_is_read_back_when_it_was_written(self, tmp_path: Path) -> None:
        line = answered(1)
        with journal(tmp_path) as writer:
            writer.append(line)
            writer.flush(NOW)
            segment, back = lines_of(tmp_path)
        assert segment == {"kind": "segment", "worker": "sip-1", "instance": "sip-1:a", "at": NOW}
        assert back == orjson.loads(orjson.dumps(line))
        assert back["record"]["received_at"] == ARRIVED

    @given(
        st.dictionaries(
            st.text(st.characters(codec="utf-8")),
            st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")) | st.none(),
        )
    )
    def test_line_is_one_line_when_its_text_has_line_ends(self, data: dict[str, Any]) -> None:
        line = encode_line(data)
        assert line.count(b"\n") == 1
        assert line.endswith(b"\n")
        assert orjson.loads(line[9:]) == data

    def test_line_is_written_when_a_header_holds_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        agent = b"caf\xe9 \xff".decode("utf-8", "surrogateescape")
        with journal(tmp_path) as writer:
            writer.append(make_cdr_line(make_record(a_user_agent=agent, source_received="ü")))
            writer.flush(NOW)
            (_, line) = lines_of(tmp_path)
        assert (line["record"]["a_user_agent"], line["record"]["source_received"]) == ("caf? ?", "ü")

    def test_offsets_lead_to_the_next_line(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            for number in range(5):
                writer.append(ended(number))
            writer.flush(NOW)
        path = segment_path(tmp_path, 1)
        everything = list(read_lines(path, 0, sys.maxsize))
        assert everything[-1][0] == path.stat().st_size
        for index, (offset, _) in enumerate(everything, 1):
            assert list(read_lines(path, offset, sys.maxsize)) == everything[index:]

    def test_reading_stops_when_the_limit_is_reached(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            for number in range(5):
                writer.append(ended(number))
            writer.flush(NOW)
        assert len(list(read_lines(segment_path(tmp_path, 1), 0, 3))) == 3


class TestDamage:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A segment of four lines: its head and three calls."""
        with journal(tmp_path) as writer:
            for number in (1, 2, 3):
                writer.append(answered(number))
            writer.flush(NOW)
        return segment_path(tmp_path, 1)

    def test_torn_last_line_is_the_end_wherever_it_was_torn(self, path: Path) -> None:
        whole = path.read_bytes()
        last = len(whole.splitlines(keepends=True)[-1])
        for missing in range(1, last + 1):
            path.write_bytes(whole[:-missing])
            assert names(lines_of(path.parent)) == ["segment", "answered call-1", "answered call-2"], missing

    def test_torn_line_is_read_when_the_rest_of_it_comes(self, path: Path) -> None:
        whole = path.read_bytes()
        path.write_bytes(whole[:-10])
        (*_, (offset, _)) = read_lines(path, 0, sys.maxsize)
        path.write_bytes(whole)
        assert names([line for _, line in read_lines(path, offset, sys.maxsize)]) == ["answered call-3"]

    @pytest.mark.parametrize("place", [0, 7, 8, 9, 100, -2])
    def test_damaged_line_is_the_end(self, path: Path, place: int) -> None:
        lines = path.read_bytes().splitlines(keepends=True)
        damaged = bytearray(lines[2])
        damaged[place] ^= 0x01
        path.write_bytes(b"".join([*lines[:2], bytes(damaged), *lines[3:]]))
        # The blank between check and text carries nothing, so what stands there does no harm.
        expected = ["segment", "answered call-1"] + (["answered call-2", "answered call-3"] if place == 8 else [])
        assert names(lines_of(path.parent)) == expected

    @pytest.mark.parametrize("junk", [b"\n", b"\0" * 4096, b"00000000 \n", b"xxxxxxxx {}\n", b"\xff\xfe\n"])
    def test_junk_is_the_end(self, path: Path, junk: bytes) -> None:
        with path.open("ab") as file:
            file.write(junk + encode_line({"kind": "segment"}))
        assert len(lines_of(path.parent)) == 4


class TestRotation:
    def test_new_segment_begins_with_the_calls_that_are_up(self, tmp_path: Path) -> None:
        up = [answered(1), answered(2)]
        with journal(tmp_path, segment_size=1, up=up) as writer:
            writer.append(ended(3))
            writer.flush(NOW + 1)
            assert segments(tmp_path) == [1, 2]
            assert names(lines_of(tmp_path, 1)) == ["segment", "cdr call-3"]
            assert names(lines_of(tmp_path, 2)) == ["segment", "answered call-1", "answered call-2"]
            writer.append(ended(1))
            up.pop(0)
            writer.flush(NOW + 2)
        assert names(lines_of(tmp_path, 2))[3:] == ["cdr call-1"]
        assert names(lines_of(tmp_path, 3)) == ["segment", "answered call-2"]
        assert recovered(tmp_path) == ["call-2"]

    def test_calls_that_are_up_are_found_among_messages_of_others(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            for line in (answered(1), answered(2), make_trace_line(1), ended(1), make_trace_line(2)):
                writer.append(line)
        assert recovered(tmp_path) == ["call-2"]

    def test_segment_goes_on_when_it_is_not_full(self, tmp_path: Path) -> None:
        with journal(tmp_path, segment_size=100_000) as writer:
            for number in range(20):
                writer.append(ended(number))
                writer.flush(NOW)
        assert segments(tmp_path) == [1]

    def test_segment_is_not_full_at_its_start_when_it_carries_many_calls(self, tmp_path: Path) -> None:
        up = [answered(number) for number in range(20)]
        with journal(tmp_path, segment_size=3000, up=up) as writer:
            while segments(tmp_path) == [1]:
                writer.append(ended(99))
                writer.flush(NOW)
            assert segment_path(tmp_path, 2).stat().st_size > 3000
            writer.append(ended(99))
            writer.flush(NOW)
        assert segments(tmp_path) == [1, 2]

    def test_new_run_begins_a_new_segment_with_the_calls_that_it_takes_over(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(answered(1))
        with journal(tmp_path, instance="sip-1:b"):
            pass
        assert segments(tmp_path) == [1, 2]
        segment, call = lines_of(tmp_path)
        assert (segment["instance"], call["record"]["a_call_id"]) == ("sip-1:b", "call-1")

    def test_half_made_segment_does_not_count(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(answered(1))
        (tmp_path / "0000000002.partial").write_bytes(b"half")
        assert segments(tmp_path) == [1]
        with journal(tmp_path, instance="sip-1:b"):
            pass
        assert names(lines_of(tmp_path, 2)) == ["segment", "answered call-1"]
        assert list(tmp_path.glob("*.partial")) == []

    def test_journal_is_as_large_as_its_segments(self, tmp_path: Path) -> None:
        with journal(tmp_path, segment_size=1) as writer:
            writer.append(ended(1))
            writer.flush(NOW)
            assert writer.size() == sum(path.stat().st_size for path in tmp_path.glob("*.journal"))


class TestRecover:
    def test_call_is_up_when_it_was_answered_and_has_no_record(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            for line in (answered(1), answered(2), ended(1), answered(3), ended(3)):
                writer.append(line)
        assert recovered(tmp_path) == ["call-2"]

    def test_other_attempt_of_a_call_does_not_end_it(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(make_cdr_line(make_record(1, attempt=1, sip_code=503, code="CARRIER_LIMIT")))
            writer.append(make_answered_line(make_record(1, attempt=2, answered_at=ARRIVED)))
        assert recovered(tmp_path) == ["call-1"]

    def test_nothing_is_up_when_there_is_no_journal(self, tmp_path: Path) -> None:
        assert recovered(tmp_path / "new") == []

    def test_call_is_up_when_the_last_line_is_torn(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(answered(1))
            writer.append(ended(1))
        path = segment_path(tmp_path, 1)
        path.write_bytes(path.read_bytes()[:-5])
        assert recovered(tmp_path) == ["call-1"]

    def test_only_the_newest_segment_is_asked(self, tmp_path: Path) -> None:
        with journal(tmp_path, segment_size=1, up=[]) as writer:
            writer.append(answered(1))
        assert recovered(tmp_path) == []

    def test_recovered_line_has_what_a_successor_needs(self, tmp_path: Path) -> None:
        line = answered(1)
        with journal(tmp_path) as writer:
            writer.append(line)
        with journal(tmp_path, begun=False) as writer:
            assert writer.recover() == [orjson.loads(orjson.dumps(line))]

    def test_recovered_line_has_the_newest_dialogs(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            for line in (answered(1), answered(2), renewed(1, "first"), renewed(1, "second")):
                writer.append(line)
        assert dialogs(tmp_path) == {"call-1": [{"call_id": "second"}], "call-2": answered(2)["dialogs"]}

    def test_newest_dialogs_stay_when_a_successor_carries_the_call_into_its_segment(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(answered(1))
            writer.append(renewed(1, "second"))
        with journal(tmp_path) as successor:
            assert successor.position[0] == 2
        assert dialogs(tmp_path) == {"call-1": [{"call_id": "second"}]}

    def test_dialogs_change_nothing_when_they_are_of_another_attempt_or_an_ended_or_unknown_call(
        self, tmp_path: Path
    ) -> None:
        with journal(tmp_path) as writer:
            for line in (answered(1), answered(2), ended(2)):
                writer.append(line)
            for line in (renewed(1, "other", attempt=2), renewed(2, "other"), renewed(3, "other")):
                writer.append(line)
        assert dialogs(tmp_path) == {"call-1": answered(1)["dialogs"]}


class TestLock:
    def test_second_writer_is_locked_out(self, tmp_path: Path) -> None:
        with journal(tmp_path), pytest.raises(JournalLocked, match=tmp_path.name), journal(tmp_path):
            pass

    def test_next_writer_gets_the_lock_when_the_first_has_closed(self, tmp_path: Path) -> None:
        for instance in ("sip-1:a", "sip-1:b"):
            with journal(tmp_path, instance=instance):
                pass
        assert segments(tmp_path) == [1, 2]

    def test_writers_of_other_workers_are_let_in(self, tmp_path: Path) -> None:
        with journal(tmp_path / "sip-1"), journal(tmp_path / "sip-2"):
            assert segments(tmp_path / "sip-2") == [1]

    def test_directory_and_files_are_for_the_owner_only(self, tmp_path: Path) -> None:
        with journal(tmp_path / "sip-1"):
            assert (tmp_path / "sip-1").stat().st_mode & 0o777 == 0o700
            assert {path.stat().st_mode & 0o777 for path in (tmp_path / "sip-1").iterdir()} == {0o600}


class TestFlush:
    def test_flush_is_one_write_when_many_lines_were_collected(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sizes: list[int] = []
        write = os.write

        def counting(file: int, data: bytes) -> int:
            sizes.append(len(data))
            return write(file, data)

        with journal(tmp_path) as writer:
            monkeypatch.setattr(os, "write", counting)
            for number in range(100):
                writer.append(ended(number))
            assert sizes == []
            writer.flush(NOW)
            assert len(sizes) == 1
            writer.flush(NOW)
            assert len(sizes) == 1
            assert len(lines_of(tmp_path)) == 101

    def test_lines_are_whole_when_the_system_writes_them_in_pieces(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write
        with journal(tmp_path) as writer:
            monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:7]))
            writer.append(ended(1))
            writer.flush(NOW)
            assert names(lines_of(tmp_path)) == ["segment", "cdr call-1"]

    def test_nothing_is_lost_or_torn_when_the_disk_is_full_for_a_while(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = os.write

        def full(file: int, data: bytes) -> int:
            if len(data) > 100:
                return write(file, data[:100])
            raise OSError(errno.ENOSPC, "no space left on device")

        with journal(tmp_path) as writer:
            writer.append(ended(1))
            writer.flush(NOW)
            monkeypatch.setattr(os, "write", full)
            writer.append(ended(2))
            assert not writer.is_stuck
            writer.flush(NOW)
            assert writer.is_stuck
            assert names(lines_of(tmp_path)) == ["segment", "cdr call-1"]
            monkeypatch.setattr(os, "write", write)
            writer.append(ended(3))
            writer.flush(NOW)
            assert not writer.is_stuck
            assert names(lines_of(tmp_path)) == ["segment", "cdr call-1", "cdr call-2", "cdr call-3"]

    def test_old_segment_goes_on_when_no_new_one_can_be_begun(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(file: int) -> None:
            raise OSError(errno.ENOSPC, "no space left on device")

        with journal(tmp_path, segment_size=1) as writer:
            files = len(list(Path("/proc/self/fd").iterdir()))
            sync = os.fsync
            monkeypatch.setattr(os, "fsync", full)
            for number in (1, 2, 3):
                writer.append(ended(number))
                writer.flush(NOW)
            assert segments(tmp_path) == [1]
            assert len(list(Path("/proc/self/fd").iterdir())) == files
            monkeypatch.setattr(os, "fsync", sync)
            writer.append(ended(4))
            writer.flush(NOW)
        assert segments(tmp_path) == [1, 2]
        assert len(lines_of(tmp_path, 1)) == 5

    def test_no_more_calls_should_come_when_too_much_waits_for_the_database(self, tmp_path: Path) -> None:
        with journal(tmp_path, limit=900) as writer:
            assert not writer.is_stuck
            writer.append(ended(1))
            writer.flush(NOW)
            assert writer.waiting == segment_path(tmp_path, 1).stat().st_size >= 900
            assert writer.is_stuck
            # What waits is written all the same, and calls may come again when the database has caught up.
            writer.append(ended(2))
            writer.flush(NOW)
            assert names(lines_of(tmp_path)) == ["segment", "cdr call-1", "cdr call-2"]
            writer.measure(1, segment_path(tmp_path, 1).stat().st_size - 10)
            assert (writer.waiting, writer.is_stuck) == (10, False)

    def test_messages_of_calls_are_left_out_when_half_of_what_may_waits(self, tmp_path: Path) -> None:
        with journal(tmp_path, limit=4000) as writer:
            assert writer.append_trace(make_trace_line(1))
            while 2 * writer.waiting < 4000:
                writer.append(ended(1))
                writer.flush(NOW)
            assert not writer.is_stuck
            assert not writer.append_trace(make_trace_line(2))
            writer.measure(1, segment_path(tmp_path, 1).stat().st_size)
            assert writer.append_trace(make_trace_line(3))
        assert [line["call_id"][-1] for line in lines_of(tmp_path) if line["kind"] == "trace"] == ["1", "3"]

    def test_messages_of_calls_are_left_out_when_the_disk_takes_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with journal(tmp_path) as writer:

            def refuse(*_: object) -> int:
                raise OSError(errno.ENOSPC, "No space left on device")

            with monkeypatch.context() as patch:
                patch.setattr(os, "write", refuse)
                writer.append(ended(1))
                writer.flush(NOW)
            assert not writer.append_trace(make_trace_line())
            writer.flush(NOW)
            assert writer.append_trace(make_trace_line())

    def test_rest_is_written_when_the_journal_is_closed(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(ended(1))
        assert names(lines_of(tmp_path)) == ["segment", "cdr call-1"]


class Synced:
    """Which files the disk was asked to keep."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._condition = threading.Condition()
        self._names: list[str] = []
        sync = os.fdatasync

        def recording(file: int) -> None:
            sync(file)
            with self._condition:
                self._names.append(Path(f"/proc/self/fd/{file}").readlink().name)
                self._condition.notify_all()

        monkeypatch.setattr(os, "fdatasync", recording)

    def wait_for(self, path: Path) -> bool:
        """Wait until a file has been synced; False: it never was."""
        with self._condition:
            return self._condition.wait_for(lambda: path.name in self._names, 5.0)


class TestSync:
    def test_segment_is_synced_when_it_was_written(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced = Synced(monkeypatch)
        with journal(tmp_path) as writer:
            writer.append(ended(1))
            writer.flush(NOW)
            assert synced.wait_for(segment_path(tmp_path, 1))

    def test_both_segments_are_synced_when_one_followed_the_other_at_once(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = Synced(monkeypatch)
        with journal(tmp_path, segment_size=500, sync_interval=0.1) as writer:
            writer.append(ended(1))
            writer.flush(NOW)
            assert segments(tmp_path) == [1, 2]
            writer.append({"kind": "segment"})
            writer.flush(NOW)
            assert synced.wait_for(segment_path(tmp_path, 1))
            assert synced.wait_for(segment_path(tmp_path, 2))

    def test_next_sync_comes_when_the_disk_refuses_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        synced = Synced(monkeypatch)
        sync, refused = os.fdatasync, threading.Event()

        def refuse_once(file: int) -> None:
            if refused.is_set():
                sync(file)
            else:
                refused.set()
                raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fdatasync", refuse_once)
        with journal(tmp_path, sync_interval=0.01) as writer, capture_logs() as logs:
            writer.append(ended(1))
            writer.flush(NOW)
            assert refused.wait(5.0)
            writer.append(ended(2))
            writer.flush(NOW)
            assert synced.wait_for(segment_path(tmp_path, 1))
        assert [entry["event"] for entry in logs] == ["journal cannot be synced"]

    def test_segment_is_synced_when_the_journal_is_closed_before_the_interval_is_over(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced = Synced(monkeypatch)
        with journal(tmp_path, sync_interval=3600.0) as writer:
            writer.append(ended(1))
            writer.flush(NOW)
        assert synced.wait_for(segment_path(tmp_path, 1))


CHILD = """
import sys
from pathlib import Path
from cdr.journal import JournalWriter
from tests.support.records import make_answered_line, make_cdr_line, make_record

writer = JournalWriter(Path(sys.argv[1]), "sip-1", "sip-1:child", segment_size=1 << 20, sync_interval=3600.0)
writer.open(0.0, [])
for number in range(1, 201):
    writer.append(make_answered_line(make_record(number, answered_at=1790000000.0)))
    writer.flush(0.0)
for number in range(1, 101):
    writer.append(make_cdr_line(make_record(number, answered_at=1790000000.0)))
writer.flush(0.0)
writer.append(make_cdr_line(make_record(150, answered_at=1790000000.0)))
print("flushed", flush=True)
sys.stdin.read()
"""


class TestKill:
    def test_flushed_lines_survive_when_their_process_is_killed(self, tmp_path: Path) -> None:
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with child:
            try:
                assert child.stdout is not None
                assert child.stdout.readline() == b"flushed\n"
                with pytest.raises(JournalLocked), journal(tmp_path):
                    pass
            finally:
                child.send_signal(signal.SIGKILL)
        assert len(lines_of(tmp_path)) == 1 + 200 + 100
        # The record of call 150 was collected but never flushed, so nobody was told and the call counts as up.
        assert recovered(tmp_path) == [f"call-{number}" for number in range(101, 201)]
