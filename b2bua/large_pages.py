"""Asks the kernel to keep what a process has in memory in pages of 2 MiB.

A call touches a thousand places all over the heap. With pages of 4 KiB that is more than the processor remembers the
addresses of, most of all in a virtual machine. Systems whose `transparent_hugepage` is `always` do this by themselves.
"""

import ctypes
from pathlib import Path
from typing import Final

_MAPS: Final = Path("/proc/self/maps")
_SIZE: Final = 2 * 1024 * 1024
_HUGEPAGE: Final = 14
"""MADV_HUGEPAGE: this part may have large pages from now on."""
_COLLAPSE: Final = 25
"""MADV_COLLAPSE: make them now, where there are small ones; since Linux 6.1."""


def use_large_pages() -> int:
    """Move the heap of this process into large pages; returns how many bytes have them now, 0 where it is not to be."""
    try:
        advise = ctypes.CDLL(None, use_errno=True).madvise
        maps = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, AttributeError):
        return 0
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    moved = 0
    for begin, size in filter(None, map(_whole_pages, maps)):
        if advise(begin, size, _HUGEPAGE) == 0 and advise(begin, size, _COLLAPSE) == 0:
            moved += size
    return moved


def _whole_pages(line: str) -> tuple[int, int] | None:
    """Begin and size of the large pages that fit into a part of the heap; None: it is no such part, or too small."""
    span, rights, _, _, inode, *name = line.split(maxsplit=5)
    if rights != "rw-p" or inode != "0" or (name and name[0] != "[heap]"):
        return None
    first, end = (int(each, 16) for each in span.split("-"))
    begin = -(-first // _SIZE) * _SIZE
    size = end // _SIZE * _SIZE - begin
    return (begin, size) if size > 0 else None
