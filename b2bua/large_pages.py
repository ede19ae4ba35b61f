"""The memory of a process, ready before it is needed and in pages of 2 MiB.

A call touches a thousand places all over the heap. With pages of 4 KiB that is more than the processor remembers the
addresses of, most of all in a virtual machine. Systems whose `transparent_hugepage` is `always` do this by themselves.
"""

import ctypes
import sys
from pathlib import Path
from typing import Final

_MAPS: Final = Path("/proc/self/maps")
_SIZE: Final = 2 * 1024 * 1024
_HUGEPAGE: Final = 14
"""MADV_HUGEPAGE: this part may have large pages from now on."""
_COLLAPSE: Final = 25
"""MADV_COLLAPSE: make them now, where there are small ones; since Linux 6.1."""
_LARGEST: Final = 512
"""Bytes of the largest objects that the interpreter keeps in its arenas."""
_APART: Final = 1900
"""An arena has room for 64 times 31 of them."""


def reserve(size: int) -> list[bytes]:
    """Have so many bytes for small objects before calls need them, as long as what is returned is kept.

    The interpreter gives an arena of 1 MiB back to the system when nothing in it is left, and asks for it again, page
    by page, when calls come. One object in each keeps it.
    """
    objects = [bytes(_LARGEST - sys.getsizeof(b"")) for _ in range(size // _LARGEST)]
    return objects[::_APART]


def use_large_pages(*, at_once: bool = True) -> int:
    """Have the heap of this process in large pages.

    Args:
        at_once: Move what is in small ones now, for which the process stands still, some 5 ms for each large one;
            otherwise the kernel does it when it has time.

    Returns:
        How many bytes have them now, or may have them; 0 where it is not to be.
    """
    try:
        advise = ctypes.CDLL(None, use_errno=True).madvise
        maps = _MAPS.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, AttributeError):
        return 0
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    moved = 0
    for begin, size in filter(None, map(_whole_pages, maps)):
        if advise(begin, size, _HUGEPAGE) == 0 and (not at_once or advise(begin, size, _COLLAPSE) == 0):
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
