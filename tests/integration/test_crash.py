"""A round of `make crash`: nothing is lost, doubled or held when everything is killed."""

from tests.support.crash import run_rounds


class TestKilledAtRandom:
    def test_nothing_is_lost_or_doubled_when_every_process_is_killed_in_turn(self) -> None:
        tally = run_rounds(1, seed=7)
        assert tally.calls > 1000  # of 2,000 that were offered; the rest came while somebody was down
        assert [tally.lost, tally.doubled, tally.drift, tally.holds] == [0, 0, 0, 0], tally.as_json()
