"""RTCP: sender and receiver reports (RFC 3550 §6.4), read from compound packets; other packets are stepped over."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

SENDER_REPORT: Final = 200
RECEIVER_REPORT: Final = 201

_BLOCK: Final = struct.Struct("!IIIIII")
_BLOCK_SIZE: Final = 24


@dataclass(slots=True)
class Block:
    """What a receiver says of one source."""

    ssrc: int
    """The source."""

    fraction_lost: int
    """Of the packets since the last report, in 256ths."""

    lost: int
    """Packets since the beginning; negative when some came twice."""

    highest: int
    """Highest sequence number, with its cycles above."""

    jitter: int
    """In units of the timestamp."""

    last_report: int
    """Middle 32 bits of the NTP time of the newest sender report; 0: none came."""

    delay: int
    """Since then, in 65,536ths of a second."""


@dataclass(slots=True)
class Report:
    """A sender report or a receiver report."""

    ssrc: int
    """Who sends it."""

    blocks: list[Block]
    ntp: int | None = None
    """Middle 32 bits of a sender report's time; None: a receiver report."""

    packets: int | None = None
    """What a sender says that it has sent."""


def parse(data: bytes) -> Iterator[Report]:
    """Yield the reports of a compound packet; what is malformed ends it."""
    at = 0
    while at + 8 <= len(data):
        first, kind, words = struct.unpack_from("!BBH", data, at)
        end = at + 4 * (words + 1)
        if first >> 6 != 2 or end > len(data):
            return
        if kind in (SENDER_REPORT, RECEIVER_REPORT):
            report = _parse_report(data, at, end, first & 0x1F, is_sender=kind == SENDER_REPORT)
            if report is None:
                return
            yield report
        at = end


def _parse_report(data: bytes, at: int, end: int, count: int, *, is_sender: bool) -> Report | None:
    (ssrc,) = struct.unpack_from("!I", data, at + 4)
    blocks_at = at + (28 if is_sender else 8)
    if blocks_at + count * _BLOCK_SIZE > end:
        return None
    report = Report(ssrc, [_parse_block(data, blocks_at + index * _BLOCK_SIZE) for index in range(count)])
    if is_sender:
        ntp, _, report.packets = struct.unpack_from("!QII", data, at + 8)
        report.ntp = ntp >> 16 & 0xFFFFFFFF
    return report


def _parse_block(data: bytes, at: int) -> Block:
    ssrc, losses, highest, jitter, last_report, delay = _BLOCK.unpack_from(data, at)
    lost = losses & 0xFFFFFF
    return Block(ssrc, losses >> 24, lost - (1 << 24) if lost >> 23 else lost, highest, jitter, last_report, delay)


def pack(report: Report) -> bytes:
    """Write a report as a packet of its own; of a sender report the time's middle bits alone."""
    body = struct.pack("!I", report.ssrc)
    if report.ntp is not None:
        body += struct.pack("!QIII", report.ntp << 16, 0, report.packets or 0, 0)
    body += b"".join(_pack_blocks(report.blocks))
    kind = RECEIVER_REPORT if report.ntp is None else SENDER_REPORT
    return struct.pack("!BBH", 0x80 | len(report.blocks), kind, len(body) // 4) + body


def _pack_blocks(blocks: Iterable[Block]) -> Iterator[bytes]:
    for block in blocks:
        losses = block.fraction_lost << 24 | block.lost & 0xFFFFFF
        yield _BLOCK.pack(block.ssrc, losses, block.highest, block.jitter, block.last_report, block.delay)
