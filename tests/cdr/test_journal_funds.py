"""What the journal knows of funds: until when a call is paid, and which debits are not posted."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cdr.journal import JournalWriter, is_locked, read_lines, segment_path, segments
from tests.support.records import ARRIVED, make_answered_line, make_cdr_line, make_level, make_record

NOW = ARRIVED


@contextmanager
def journal(directory: Path, *, segment_size: int = 1 << 20) -> Iterator[JournalWriter]:
    """A writer that takes over what an earlier one left up."""
    writer = JournalWriter(directory, "sip-1", "sip-1:a", segment_size=segment_size, sync_interval=0.01)
    try:
        writer.open(NOW, writer.recover())
        yield writer
    finally:
        writer.close(NOW)


def write(writer: JournalWriter, *lines: dict[str, Any]) -> None:
    for line in lines:
        writer.append(line)
    writer.flush(NOW)


def answered(number: int, deadline: float = 60.0) -> dict[str, Any]:
    line = make_answered_line(make_record(number, answered_at=ARRIVED), [make_level()])
    return {**line, "deadline": ARRIVED + deadline}


def funded(number: int, seconds: int, attempt: int = 1) -> dict[str, Any]:
    return {"kind": "funded", "call_id": make_record(number).call_id, "attempt": attempt, "seconds": seconds}


def ended(number: int) -> dict[str, Any]:
    return make_cdr_line(make_record(number, answered_at=ARRIVED), [make_level()])


def deadlines(directory: Path) -> dict[str, float]:
    """Calls that a new run finds up, and how long after the answer each ends at the latest."""
    writer = JournalWriter(directory, "sip-1", "sip-1:b", segment_size=1 << 20, sync_interval=0.01)
    try:
        return {line["record"]["a_call_id"]: line["deadline"] - ARRIVED for line in writer.recover()}
    finally:
        writer.close(NOW)


class TestDeadline:
    @pytest.mark.parametrize(("extensions", "deadline"), [([], 60), ([120], 120), ([120, 135], 135), ([70, 180], 180)])
    def test_recovered_call_ends_with_what_was_paid_last_when_its_funds_were_extended(
        self, tmp_path: Path, extensions: list[int], deadline: int
    ) -> None:
        with journal(tmp_path) as writer:
            write(writer, answered(1), answered(2), *(funded(1, seconds) for seconds in extensions))
        assert deadlines(tmp_path) == {"call-1": deadline, "call-2": 60}

    def test_extension_changes_nothing_when_it_is_of_another_attempt_or_an_ended_or_unknown_call(
        self, tmp_path: Path
    ) -> None:
        with journal(tmp_path) as writer:
            write(writer, answered(1), answered(2), ended(2))
            write(writer, funded(1, 120, attempt=2), funded(2, 120), funded(3, 120))
        assert deadlines(tmp_path) == {"call-1": 60}

    def test_deadline_stays_when_a_successor_carries_the_call_into_its_segment(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            write(writer, answered(1), funded(1, 120))
        with journal(tmp_path) as successor:
            assert successor.position[0] == 2
        assert deadlines(tmp_path) == {"call-1": 120}

    def test_extension_does_not_count_when_the_crash_cut_it_short(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            write(writer, answered(1), funded(1, 120))
        path = segment_path(tmp_path, 1)
        path.write_bytes(path.read_bytes()[:-3])
        assert deadlines(tmp_path) == {"call-1": 60}


def unposted(writer: JournalWriter, position: tuple[int, int]) -> list[str]:
    return [line["record"]["a_call_id"] for _, line in writer.unposted(position)]


class TestUnposted:
    def test_records_behind_the_position_are_given_in_order(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            write(writer, ended(1), answered(4), ended(2))
            position = writer.position
            write(writer, ended(3), funded(4, 120), ended(4))
            assert unposted(writer, (0, 0)) == unposted(writer, (1, 0)) == ["call-1", "call-2", "call-3", "call-4"]
            assert unposted(writer, position) == ["call-3", "call-4"]
            assert unposted(writer, writer.position) == []

    def test_each_record_has_the_position_behind_it(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            behind: list[tuple[int, int]] = []
            for number in (1, 2, 3):
                write(writer, answered(number), ended(number))
                behind.append(writer.position)
            found = list(writer.unposted((0, 0)))
            assert [position for position, _ in found] == behind
            for index, position in enumerate(behind, 1):
                assert list(writer.unposted(position)) == found[index:]

    def test_records_of_every_later_segment_are_given_when_the_writer_is_behind(self, tmp_path: Path) -> None:
        positions: list[tuple[int, int]] = []
        for number in (1, 2, 3):
            with journal(tmp_path) as writer:
                write(writer, ended(number))
                positions.append(writer.position)
        with journal(tmp_path) as writer:
            assert unposted(writer, (0, 0)) == ["call-1", "call-2", "call-3"]
            assert unposted(writer, positions[0]) == unposted(writer, (2, 0)) == ["call-2", "call-3"]
            assert unposted(writer, (3, 0)) == ["call-3"]
            # What is committed may be gone already.
            segment_path(tmp_path, 1).unlink()
            assert unposted(writer, (1, 0)) == ["call-2", "call-3"]

    def test_nothing_is_given_when_nobody_has_called(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            assert unposted(writer, (0, 0)) == []


class TestPosition:
    def test_position_is_behind_what_was_appended_whether_it_is_written_yet_or_not(self, tmp_path: Path) -> None:
        with journal(tmp_path) as writer:
            writer.append(ended(1))
            first = writer.position
            writer.append(ended(2))
            second = writer.position
            writer.flush(NOW)
            assert writer.position == second
            offsets = [offset for offset, line in read_lines(segment_path(tmp_path, 1), 0, sys.maxsize)]
            assert [(1, offset) for offset in offsets[1:]] == [first, second]

    def test_position_is_that_of_its_own_segment_when_the_line_fills_it(self, tmp_path: Path) -> None:
        with journal(tmp_path, segment_size=10) as writer:
            noted: list[tuple[int, int]] = []
            for number in (1, 2, 3):
                writer.append(ended(number))
                noted.append(writer.position)
                writer.flush(NOW)
            assert segments(tmp_path) == [1, 2, 3, 4]
            assert [position for position, _ in writer.unposted((0, 0))] == noted
            assert noted == sorted(noted)


class TestLock:
    def test_journal_is_locked_as_long_as_a_worker_writes_it(self, tmp_path: Path) -> None:
        assert not is_locked(tmp_path / "none")
        with journal(tmp_path / "sip-1"):
            assert is_locked(tmp_path / "sip-1")
        assert not is_locked(tmp_path / "sip-1")

    def test_worker_can_start_when_somebody_has_just_looked(self, tmp_path: Path) -> None:
        for _ in range(2):
            with journal(tmp_path):
                pass
            assert not is_locked(tmp_path)
