"""MOS by the E-model and round trips, with values worked out by hand (ITU-T G.107, G.113)."""

import pytest

from media.quality import ReportKeeper, judge, mos, rate
from media.rtcp import Block, Report


class TestModel:
    def test_faultless_connection_has_the_highest_score(self) -> None:
        factor = rate("PCMU", 0, 0, None)
        assert factor == 93.2
        # 1 + 0.035 · 93.2 + 93.2 · 33.2 · 6.8 · 7e-6
        assert mos(93.2) == pytest.approx(4.4093, abs=1e-4)

    def test_loss_of_2_percent_of_g711(self) -> None:
        # Ie,eff = 95 · 2 / (2 + 25.1) = 7.0111; R = 86.1889
        factor = rate("PCMA", 0.02, 0, None)
        assert factor == pytest.approx(86.1889, abs=1e-3)
        # 1 + 3.01661 + 86.1889 · 26.1889 · 13.8111 · 7e-6 = 4.2348
        assert mos(86.1889) == pytest.approx(4.2348, abs=1e-3)

    def test_codec_has_its_own_impairment(self) -> None:
        # 11 + 84 · 1 / (1 + 19) = 15.2
        assert rate("G729", 0.01, 0, None) == pytest.approx(93.2 - 15.2)

    def test_delay_beyond_100_ms_costs(self) -> None:
        # Ta = 380/2 + 20 + 0 = 210 ms: X = log2(2.1) = 1.07039; Idd = 25 · (1.16530 - 3 · 1.00034 + 2) = 4.107
        factor = rate("PCMU", 0, 0, 0.38)
        assert factor is not None
        assert 93.2 - factor == pytest.approx(4.107, abs=0.005)
        # 50 + 40 + 20 = 110 ms is as good as nothing.
        assert rate("PCMU", 0, 0.02, 0.1) == pytest.approx(93.2, abs=0.001)

    def test_nothing_is_said_of_an_unknown_codec(self) -> None:
        assert rate("opus", 0, 0, None) is None

    @pytest.mark.parametrize(("factor", "score"), [(0, 1.0), (-5, 1.0), (60, 3.1), (100, 4.5), (120, 4.5)])
    def test_score_is_bounded(self, factor: float, score: float) -> None:
        assert mos(factor) == pytest.approx(score)


class TestReports:
    def test_round_trip_leaves_out_the_delay_of_the_end(self) -> None:
        keeper = ReportKeeper()
        keeper.passed_on(0x11112222, 10.0)
        keeper.receive(Report(1, [Block(2, 0, 5, 100, 80, 0x11112222, 32_768)]), 10.58)
        assert keeper.round_trip == pytest.approx(0.08)
        assert keeper.heard is not None
        assert (keeper.heard.lost, keeper.heard.jitter) == (5, 80)

    def test_report_about_no_sender_report_gives_no_round_trip(self) -> None:
        keeper = ReportKeeper()
        keeper.receive(Report(1, [Block(2, 0, 5, 100, 80, 0, 0)]), 10.0)
        assert keeper.round_trip is None

    def test_only_the_newest_sender_reports_are_remembered(self) -> None:
        keeper = ReportKeeper()
        for number in range(1, 100):
            keeper.passed_on(number, float(number))
        keeper.receive(Report(1, [Block(2, 0, 0, 0, 0, 1, 0)]), 100.0)
        assert keeper.round_trip is None
        keeper.receive(Report(1, [Block(2, 0, 0, 0, 0, 99, 0)]), 100.0)
        assert keeper.round_trip == 1.0


class TestJudge:
    def test_what_is_not_known_stays_empty(self) -> None:
        quality = judge("PCMU", None, 0, None, None, 0.1)
        assert (quality.lost, quality.jitter, quality.round_trip, quality.mos) == (None, None, None, None)

    def test_round_trip_is_the_sum_of_both_ways(self) -> None:
        quality = judge("PCMU", 2, 100, 0.0, 0.02, 0.03)
        assert quality.round_trip == pytest.approx(0.05)
        assert quality.mos == pytest.approx(4.2348, abs=1e-3)
