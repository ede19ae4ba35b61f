"""The heap in large pages: which parts, and that what is in them stays."""

import subprocess
import sys

import pytest

from b2bua.large_pages import _whole_pages, use_large_pages

PAGE = 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("00200000-00600000 rw-p 00000000 00:00 0 ", (0x200000, 2 * PAGE)),
        ("00200000-00600000 rw-p 00000000 00:00 0    [heap]", (0x200000, 2 * PAGE)),
        ("001ff000-006ff000 rw-p 00000000 00:00 0 ", (0x200000, 2 * PAGE)),
        ("00201000-005ff000 rw-p 00000000 00:00 0 ", None),
        ("00200000-00600000 rw-p 00000000 00:00 0    [stack]", None),
        ("00200000-00600000 r--p 00000000 00:00 0 ", None),
        ("00200000-00600000 rw-s 00000000 00:05 0 ", None),
        ("00200000-00600000 rw-p 00000000 fe:00 4711   /opt/some place/rates", None),
    ],
)
def test_whole_large_pages_of_the_heap_are_taken_and_nothing_else(line: str, expected: tuple[int, int] | None) -> None:
    assert _whole_pages(line) == expected


RESERVING = """
import os
from b2bua.large_pages import reserve

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

before = resident()
kept = reserve(32 * 1024 * 1024)
reserved = resident()
call = [bytes(400) for _ in range(60_000)]
print(reserved - before, resident() - reserved, sum(map(len, kept)))
"""


def test_memory_that_was_reserved_is_there_for_others_without_asking_for_more() -> None:
    done = subprocess.run([sys.executable, "-c", RESERVING], capture_output=True, text=True, check=True, timeout=60)
    reserved, more, kept = map(int, done.stdout.split())
    assert reserved > 30 * 1024 * 1024
    assert kept < 20_000
    # 24 MiB of objects, and a list of half a MiB.
    assert more < 2 * 1024 * 1024


@pytest.mark.parametrize("at_once", [True, False])
def test_memory_is_as_it_was(at_once: bool) -> None:
    kept = [bytes([number % 251]) * 4000 for number in range(4000)]
    moved = use_large_pages(at_once=at_once)
    assert moved % PAGE == 0
    assert all(each == bytes([number % 251]) * 4000 for number, each in enumerate(kept))
