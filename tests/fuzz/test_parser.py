"""A short run of the fuzz target, always the same, and proof that it would tell."""

import time
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from b2bua.sip.message import SIZE_LIMIT
from tests.fuzz import parser
from tests.fuzz.parser import SEEDS, Run, messages


def test_parsers_raise_nothing_else_and_are_quick_when_given_anything() -> None:
    run = Run(Random(1))
    for data in islice(messages(1), 1000):
        run.check(data)
    assert run.failed is None


def test_messages_are_the_same_for_a_number_and_no_longer_than_allowed() -> None:
    one, two = list(islice(messages(2), 150)), list(islice(messages(2), 150))
    assert one == two
    assert one != list(islice(messages(3), 150))
    assert max(map(len, one)) <= SIZE_LIMIT


def fail(data: bytes, *, framed: bool = False) -> None:
    raise ZeroDivisionError


def spin(data: bytes, *, framed: bool = False) -> None:
    end = time.thread_time() + parser.SECONDS_LIMIT
    while time.thread_time() < end:
        pass


@pytest.mark.parametrize(("broken", "told"), [(fail, "ZeroDivisionError"), (spin, "spin takes 20")])
def test_message_is_told_and_kept_when_a_parser_raises_or_takes_long(
    broken: object, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(parser, "parse_message", broken)
    monkeypatch.setattr("sys.argv", ["parser", "--seconds", "5", "--seed", "1"])
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert parser.main() == 1
    assert told in capsys.readouterr().out
    (kept,) = tmp_path.iterdir()
    assert kept.read_bytes() == SEEDS[0]


def test_run_ends_in_time(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["parser", "--seconds", "0.1"])
    assert parser.main() == 0
    assert "slowest to parse" in capsys.readouterr().out
