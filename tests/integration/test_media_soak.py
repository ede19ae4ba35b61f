"""`make media-soak`: a thousand calls with sound leave nothing, and go on when the engine is killed."""

from tests.support.media_soak import run_soak
from tests.support.network import needs_root


@needs_root
def test_a_thousand_calls_leave_nothing_and_sound_goes_on_when_the_engine_is_killed() -> None:
    tally = run_soak(1000, 50)
    assert tally.calls == 1001
    assert (tally.packets_lost, tally.lost_while_killed, tally.sent_while_killed) == (0, 0, 5000)
    assert not any(tally.left.values()), tally.left
    assert tally.anchored_after_kill > 0
