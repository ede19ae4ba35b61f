"""Loss and jitter of streams worked out by hand (RFC 3550 A.3, A.8)."""

import pytest

from media import rtp
from media.rtp import MAX_DROPOUT, Reception

SSRC = 0xABCD


def received(sequences: list[int], *, ssrc: int = SSRC, into: Reception | None = None) -> Reception:
    """What is known after packets of G.711 with these sequence numbers."""
    reception = into or Reception()
    for place, sequence in enumerate(sequences):
        reception.receive(rtp.pack(0, sequence, 160 * sequence, ssrc, b""), 0.02 * place)
    return reception


def counts(reception: Reception) -> tuple[int, int, int]:
    return reception.expected, reception.received, reception.lost


class TestLoss:
    @pytest.mark.parametrize(
        ("sequences", "expected"),
        [
            ([], (0, 0, 0)),
            ([7], (1, 1, 0)),
            ([0, 1, 2, 4, 5, 6, 8, 9], (10, 8, 2)),
            ([10, 11, 13, 12, 14], (5, 5, 0)),
            ([10, 12, 11, 13, 13], (4, 5, 0)),
            ([65_534, 65_535, 0, 1], (4, 4, 0)),
            ([65_534, 0, 1], (4, 3, 1)),
            ([65_535, 1, 0, 2], (4, 4, 0)),
        ],
    )
    def test_loss_is_what_the_sequence_numbers_say(self, sequences: list[int], expected: tuple[int, int, int]) -> None:
        assert counts(received(sequences)) == expected

    def test_other_source_begins_anew_and_adds_up(self) -> None:
        reception = received([1, 2, 4])
        received([50_000, 50_001], ssrc=5, into=reception)
        assert counts(reception) == (6, 5, 1)

    def test_jump_that_the_stream_keeps_is_no_loss(self) -> None:
        jump = 10 + MAX_DROPOUT + 1000
        assert counts(received([10, 11, jump, jump + 1, jump + 2])) == (5, 5, 0)

    def test_stray_is_not_counted(self) -> None:
        assert counts(received([10, 11, 40_000, 12, 13])) == (4, 4, 0)

    def test_step_within_reach_is_loss(self) -> None:
        assert counts(received([10, 10 + MAX_DROPOUT - 1])) == (MAX_DROPOUT, 2, MAX_DROPOUT - 2)


class TestJitter:
    def jitter(self, *packets: tuple[float, int], payload_type: int = 0, **rates: int | None) -> float:
        reception = Reception({int(key[2:]): rate for key, rate in rates.items()})
        for sequence, (at, timestamp) in enumerate(packets):
            reception.receive(rtp.pack(payload_type, sequence, timestamp, SSRC, b""), at)
        return 1000 * reception.jitter

    def test_even_stream_has_none(self) -> None:
        assert self.jitter((0, 0), (0.02, 160), (0.04, 320)) == pytest.approx(0, abs=1e-6)

    def test_jitter_is_smoothed_by_sixteenths(self) -> None:
        # Transits 0, 0, +5 ms, 0: differences 0, 5, 5 ms; J = 0, 5/16, 5/16 + (5 - 5/16)/16.
        found = self.jitter((0, 0), (0.02, 160), (0.045, 320), (0.06, 480))
        assert found == pytest.approx(0.60546875, abs=1e-6)

    def test_timestamp_may_wrap(self) -> None:
        assert self.jitter((0, 2**32 - 80), (0.02, 80)) == pytest.approx(0, abs=1e-3)

    def test_clock_rate_is_that_of_the_payload_type(self) -> None:
        packets = ((0, 0), (0.02, 960), (0.045, 1920))
        assert self.jitter(*packets, payload_type=96, pt96=48_000) == pytest.approx(5 / 16, abs=1e-6)

    def test_events_tell_no_time(self) -> None:
        assert self.jitter((0, 0), (0.02, 0), (0.04, 0), payload_type=101, pt101=None) == 0


def test_place_of_what_would_come_now_is_known() -> None:
    reception = Reception({0: 8000})
    assert reception.reached(1.0) is None
    reception.receive(rtp.pack(0, 7, 1000, 5, b""), 10.0)
    assert reception.reached(10.5) == (5, 7, 5000)
