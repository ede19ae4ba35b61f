"""Digits as packets: read once each, and written as RFC 4733 has them."""

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from media import rtp
from media.dtmf import DIGITS, END_PACKETS, PAUSE, WAITING_LIMIT, EventReader, Press, Tap
from media.errors import EngineRefused

EVENT = 101
SSRC = 7


def event(digit: str, units: int, *, timestamp: int = 1000, sequence: int = 1, end: bool = False) -> bytes:
    body = struct.pack("!BBH", DIGITS.index(digit), 0x80 * end | 10, units)
    return rtp.pack(EVENT, sequence, timestamp, SSRC, body)


def parts(packet: bytes) -> tuple[bool, int, int, int, int, bool, int]:
    """Marker, payload type, sequence number, timestamp, event, end, units."""
    _, second, sequence, timestamp, _ = rtp.HEADER.unpack_from(packet)
    number, flags, units = struct.unpack_from("!BBH", packet, 12)
    return bool(second & 0x80), second & 0x7F, sequence, timestamp, number, bool(flags & 0x80), units


class TestReader:
    """RFC 4733 §2.5."""

    def read(self, *packets: bytes) -> list[tuple[str, int]]:
        heard: list[tuple[str, int]] = []
        reader = EventReader({EVENT: 8000}, lambda *digit: heard.append(digit))
        for packet in packets:
            reader.read(packet, len(packet))
        return heard

    def test_digit_is_told_once_by_its_end(self) -> None:
        ends = [event("5", 800, end=True)] * 3
        assert self.read(event("5", 160), event("5", 320), *ends, event("5", 480)) == [("5", 100)]

    def test_digit_whose_end_was_lost_is_told_when_the_next_begins(self) -> None:
        assert self.read(event("5", 160), event("5", 640), event("5", 160, timestamp=9000)) == [("5", 80)]
        assert self.read(event("5", 160), event("#", 160), event("#", 320, end=True)) == [("5", 20), ("#", 40)]

    def test_same_digit_twice_has_two_timestamps(self) -> None:
        assert self.read(event("1", 160, end=True), event("1", 160, timestamp=2000, end=True)) == [("1", 20)] * 2

    def test_what_is_no_digit_or_cut_off_is_passed_over(self) -> None:
        flash = rtp.pack(EVENT, 1, 1, SSRC, struct.pack("!BBH", 16, 0x80, 160))
        assert self.read(flash, event("1", 1)[:14]) == []

    @given(st.lists(st.binary(min_size=12, max_size=40)))
    def test_anything_is_taken(self, packets: list[bytes]) -> None:
        self.read(*packets)


class TestPress:
    def test_packets_grow_and_the_last_comes_three_times(self) -> None:
        press = Press("#", EVENT, 8000, 0.1)
        press.timestamp = 777
        packets: list[tuple[bool, int, int, int, int, bool, int]] = []
        while not press.is_over:
            packets.append(parts(press.next(len(packets), SSRC, 10 + 0.02 * len(packets))))
        assert [packet[0] for packet in packets] == [True] + [False] * 6
        assert {(packet[1], packet[3], packet[4]) for packet in packets} == {(EVENT, 777, 11)}
        assert [packet[6] for packet in packets] == [160, 320, 480, 640, 800, 800, 800]
        assert [packet[5] for packet in packets] == [False] * 4 + [True] * END_PACKETS

    def test_longest_fits_into_its_field(self) -> None:
        press = Press("1", EVENT, 48_000, 5.0)
        press.next(0, SSRC, 0.0)
        assert parts(press.next(1, SSRC, 5.0))[5:] == (True, 0xFFFF)


class Line:
    """A tap, and what goes through it."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.tap = Tap(self.sent.append)
        self.buffer = bytearray(2000)

    def take(self, packet: bytes, now: float) -> bytes:
        self.buffer[: len(packet)] = packet
        return bytes(self.buffer[: self.tap.take(self.buffer, len(packet), now)])


def sound(sequence: int, ssrc: int = SSRC) -> bytes:
    return rtp.pack(0, sequence, 160 * sequence & 0xFFFFFFFF, ssrc, b"s" * 160)


def with_line(test: Callable[[Any, Line], None]) -> Callable[[Any], None]:
    """Run a test with a line in a loop."""

    def run(self: Any) -> None:
        async def main() -> None:
            line = Line()
            test(self, line)
            line.tap.close()

        asyncio.run(main())

    return run


class TestTap:
    @with_line
    def test_digit_takes_the_place_of_sound_and_leaves_the_numbers_as_they_are(self, line: Line) -> None:
        passed = [line.take(sound(65_533), 0.0)]
        line.tap.press(Press("7", EVENT, 8000, 0.06))
        passed += [line.take(sound((65_534 + number) & 0xFFFF), 0.02 * (number + 1)) for number in range(7)]
        headers = [rtp.HEADER.unpack_from(packet) for packet in passed]
        assert [header[2] for header in headers] == [65_533, 65_534, 65_535, 0, 1, 2, 3, 4]
        assert {header[4] for header in headers} == {SSRC}
        assert [header[1] & 0x7F for header in headers] == [0] + [EVENT] * 5 + [0, 0]
        assert {header[3] for header in headers[1:6]} == {160 * 65_534}
        assert [parts(packet)[6] for packet in passed[1:6]] == [160, 320, 480, 480, 480]
        assert not line.tap.is_needed

    @with_line
    def test_digits_come_one_after_the_other_with_a_pause(self, line: Line) -> None:
        for digit in "12":
            line.tap.press(Press(digit, EVENT, 8000, 0.04))
        kinds = [rtp.HEADER.unpack_from(line.take(sound(number), 0.02 * number))[1] for number in range(20)]
        pause = round(PAUSE / 0.02)
        assert [kind & 0x7F for kind in kinds[:13]] == [EVENT] * 4 + [0] * (pause - 1) + [EVENT] * 4 + [0]
        assert sum(kind >> 7 for kind in kinds) == 2

    @with_line
    def test_events_are_taken_out_without_a_gap(self, line: Line) -> None:
        heard: list[tuple[str, int]] = []
        line.tap.reader = EventReader({EVENT: 8000}, lambda *digit: heard.append(digit))
        line.take(sound(10), 0.0)
        for number in range(3):
            assert line.take(event("9", 160 * (number + 1), sequence=11 + number), 0.1) == b""
        passed = line.take(sound(14), 0.2)
        assert rtp.HEADER.unpack_from(passed)[2] == 11
        assert heard == [("9", 60)]
        assert rtp.HEADER.unpack_from(line.take(sound(500, 8), 0.3))[2] == 500

    @with_line
    def test_late_packet_does_not_come_into_the_middle_of_a_digit(self, line: Line) -> None:
        line.take(sound(10), 0.0)
        line.tap.press(Press("1", EVENT, 8000, 0.1))
        assert parts(line.take(sound(12), 0.02))[1] == EVENT
        assert line.take(sound(11), 0.03) == b""

    @with_line
    def test_digits_that_wait_are_limited(self, line: Line) -> None:
        for _ in range(WAITING_LIMIT):
            line.tap.press(Press("1", EVENT, 8000, 0.1))
        with pytest.raises(EngineRefused):
            line.tap.press(Press("1", EVENT, 8000, 0.1))
