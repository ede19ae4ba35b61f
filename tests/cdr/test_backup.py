"""Journals on their way into a backup and out of it."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cdr.backup import JournalLinks, JournalsInUse, check_unused, has_records, put_aside, put_back
from cdr.journal import JournalWriter, calls_up, encode_line, segment_path, segments
from tests.support.records import make_answered_line, make_cdr_line, make_record, make_trace_line

NOW = datetime(2026, 9, 15, 12, tzinfo=UTC)
HEAD = encode_line({"kind": "segment"})
LINE = encode_line(make_cdr_line(make_record()))


@pytest.fixture
def journals(tmp_path: Path) -> Path:
    """Three segments of one worker, two of another."""
    for worker, count in (("sip-1", 3), ("sip-2", 2)):
        (tmp_path / "journal" / worker).mkdir(parents=True)
        for number in range(1, count + 1):
            segment_path(tmp_path / "journal" / worker, number).write_bytes(HEAD + LINE)
    return tmp_path / "journal"


def held(links: JournalLinks, positions: dict[str, int]) -> list[str]:
    return [part.name.removeprefix("journal/").removesuffix(".journal") for part in links.parts(positions)]


class TestLinks:
    def test_segments_that_are_committed_are_left_out(self, journals: Path) -> None:
        with JournalLinks(journals) as links:
            links.add()
            assert held(links, {"sip-1": 3}) == ["sip-1/0000000003", "sip-2/0000000001", "sip-2/0000000002"]

    def test_segment_that_is_removed_meanwhile_is_held(self, journals: Path) -> None:
        with JournalLinks(journals) as links:
            links.add()
            for number in (1, 2):
                segment_path(journals / "sip-1", number).unlink()
            segment_path(journals / "sip-1", 4).write_bytes(HEAD)
            links.add()
            assert held(links, {"sip-1": 2, "sip-2": 2}) == [
                "sip-1/0000000002",
                "sip-1/0000000003",
                "sip-1/0000000004",
                "sip-2/0000000002",
            ]
            assert links.has({"sip-1": 2, "sip-2": 1})
            assert not links.has({"sip-1": 5})
        assert list(journals.glob("*/backup-*")) == []

    def test_line_that_is_just_being_written_is_cut_off(self, journals: Path) -> None:
        path = segment_path(journals / "sip-1", 3)
        for rest in (b"12", b"x" * 200_000):
            path.write_bytes(HEAD + LINE + rest)
            with JournalLinks(journals) as links:
                links.add()
                (part,) = [part for part in links.parts({"sip-1": 3, "sip-2": 9})]
                assert part.size == len(HEAD + LINE)
        path.write_bytes(b"x" * 200_000)
        with JournalLinks(journals) as links:
            links.add()
            assert links.parts({"sip-1": 3, "sip-2": 9})[0].size == 0

    def test_what_a_person_has_to_look_at_is_taken_along(self, journals: Path) -> None:
        (journals / "sip-2" / "refused.journal-lines").write_bytes(LINE)
        (journals / "sip-2" / "0000000009.damaged").write_bytes(LINE)
        with JournalLinks(journals) as links:
            links.add()
            names = [part.name for part in links.parts({"sip-1": 9, "sip-2": 9})]
        assert names == ["journal/sip-2/0000000009.damaged", "journal/sip-2/refused.journal-lines"]

    def test_links_of_a_backup_that_was_killed_are_removed_and_those_of_another_are_not(self, journals: Path) -> None:
        with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
            ended = subprocess.Popen([sys.executable, "-c", ""])
            ended.wait()
            for pid in (other.pid, ended.pid):
                (journals / "sip-1" / f"backup-{pid}").mkdir()
            with JournalLinks(journals):
                left = [path.name for path in journals.glob("*/backup-*")]
            other.communicate(b"\n")
        assert left == [f"backup-{other.pid}"]

    def test_there_is_nothing_where_no_worker_ever_ran(self, tmp_path: Path) -> None:
        with JournalLinks(tmp_path / "journal") as links:
            links.add()
            assert links.parts({}) == []
            assert links.has({"sip-1": 1})


class TestRestore:
    def test_journal_with_calls_has_records_and_one_with_heads_only_has_none(self, journals: Path) -> None:
        assert has_records(journals)
        for path in journals.glob("*/*.journal"):
            path.write_bytes(HEAD)
        assert not has_records(journals)
        (journals / "sip-1" / "refused.journal-lines").write_bytes(LINE)
        assert has_records(journals)
        assert not has_records(journals / "nowhere")

    def test_records_are_put_aside_and_empty_journals_removed(self, journals: Path) -> None:
        aside = put_aside(journals, NOW)
        assert aside is not None
        assert aside.name == "journal.replaced-20260915T120000.000000Z"
        assert len(list(aside.glob("*/*.journal"))) == 5
        assert not journals.exists()
        (journals / "sip-1").mkdir(parents=True)
        assert put_aside(journals, NOW) is None
        assert not journals.exists()
        assert put_aside(journals, NOW) is None

    def test_segments_are_back_in_their_place_for_the_owner_only(self, journals: Path, tmp_path: Path) -> None:
        target = tmp_path / "restored"
        put_back(target, tmp_path, ["journal/sip-1/0000000002.journal"], NOW)
        path = segment_path(target / "sip-1", 2)
        assert path.read_bytes() == HEAD + LINE
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    @pytest.mark.parametrize(("answered", "ended"), [(-600.0, 0.0), (5.0, 5.0)])
    def test_call_that_was_up_ends_when_the_backup_was_made(
        self, tmp_path: Path, answered: float, ended: float
    ) -> None:
        made_at = NOW.timestamp()
        source = tmp_path / "journal" / "sip-1"
        writer = JournalWriter(source, "sip-1", "run", segment_size=1 << 20, sync_interval=1.0)
        writer.open(made_at, [])
        over, up = (make_record(number, answered_at=made_at + answered) for number in (1, 2))
        for line in (make_answered_line(over), make_answered_line(up), make_cdr_line(over), make_trace_line()):
            writer.append(line)
        writer.close(made_at)
        put_back(tmp_path / "restored", tmp_path, ["journal/sip-1/0000000001.journal"], NOW)
        assert segments(tmp_path / "restored" / "sip-1") == [1, 2]
        (line,) = calls_up(tmp_path / "restored" / "sip-1")
        assert (line["record"]["a_call_id"], line["deadline"]) == ("call-2", made_at + ended)

    def test_journal_that_a_worker_writes_is_in_use(self, tmp_path: Path) -> None:
        writer = JournalWriter(tmp_path / "sip-1", "sip-1", "run", segment_size=1, sync_interval=1.0)
        with pytest.raises(JournalsInUse, match="sip-1"):
            check_unused(tmp_path)
        writer.close(0.0)
        check_unused(tmp_path)
