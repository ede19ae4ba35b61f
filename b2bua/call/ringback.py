"""The tone that a caller hears while it rings without sound, played by the call's engine (docs/behaviour.md §5).

It is early media of an early dialog of its own: RFC 3261 §13.2.1 allows one answer in a dialog, and that of whoever is
called is another.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.leg import NOBODY
from media.errors import MediaError
from media.lone_answer import answer_alone

PERIODS: Final = 100
"""The tone ends by itself after so many, 5 to 10 minutes: nobody else ends it where its worker was killed."""

if TYPE_CHECKING:
    from b2bua.call.anchor import Anchor
    from b2bua.call.driver import CallDriver
    from b2bua.call.parties import Parties


class Ringback:
    """The tone of one call.

    Args:
        driver: Its worker's.
        anchor: The engine's call, which has the caller's offer.
        parties: Whose caller it is.
        status: Of the provisional answer that it takes the place of.
    """

    __slots__ = ("_anchor", "_driver", "_is_heard", "_is_over", "_parties", "_status")

    def __init__(self, driver: "CallDriver", anchor: "Anchor", parties: "Parties", status: int) -> None:
        self._driver, self._anchor, self._parties, self._status = driver, anchor, parties, status
        self._is_heard = self._is_over = False

    def begin(self, offer: bytes) -> None:
        """Answer the offer that the caller made, and play; if that cannot be, it just rings."""
        caller, driver = self._parties.caller, self._driver
        answer = answer_alone(offer, driver.address_towards(caller.flow))
        if answer is None:
            self._ring()
        else:
            ringer = CalleeLeg(driver.endpoint, caller.flow, NOBODY, "")
            self._anchor.answer(caller, ringer, answer, self._answered, is_early=True)

    def _answered(self, result: bytes | MediaError) -> None:
        if self._is_over:
            return
        if isinstance(result, MediaError):
            self._ring()
        else:
            tone = f"ringback-{self._driver.ringback}"
            self._anchor.play(self._parties.caller, tone, PERIODS, partial(self._playing, result))

    def _playing(self, session: bytes, result: float | MediaError | None) -> None:
        if self._is_over:
            return
        if isinstance(result, MediaError):
            self._ring()
            return
        self._is_heard = True
        caller = self._parties.caller
        caller.send_provisional(183, self._parties.as_ours(session, caller))

    def _ring(self) -> None:
        self._is_over = True
        self._parties.caller.send_provisional(self._status, b"")

    def stop(self) -> bool:
        """End it: there is something to hear; returns whether the caller has had an answer of ours."""
        if not self._is_over:
            self._is_over = True
            self._anchor.stop_playing(self._parties.caller)
        return self._is_heard
