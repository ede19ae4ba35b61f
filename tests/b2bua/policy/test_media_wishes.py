"""What gateways and devices ask of media."""

import pytest

from b2bua.policy.media_wishes import AS_OFFERED, PASSED, MediaWishes


@pytest.mark.parametrize(
    ("wishes", "needs_engine"),
    [
        (PASSED, False),
        (AS_OFFERED, False),
        (MediaWishes("required"), True),
        (MediaWishes(dtmf="info"), True),
        (MediaWishes("offered", "telephone-event"), True),
    ],
)
def test_engine_is_needed_for_what_is_converted(wishes: MediaWishes, *, needs_engine: bool) -> None:
    assert wishes.needs_engine == needs_engine
