"""Announcements: what a caller hears before it is refused (docs/behaviour.md §5).

The call is over and recorded by then; only its leg is left. An engine has a call with one side, plays the prompt once
as early media, and the leg gives the refusal that was due. Whatever is missing for that leads to the refusal at once.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.disposition import REFUSALS, Disposition
from b2bua.call.leg import NOBODY, Leg, Nobody
from b2bua.sip.timers import Timer
from b2bua.transport.endpoint import TimerOwner
from conf.errors import InvalidSetting
from conf.settings import MediaSettings
from media.errors import MediaError
from media.lone_answer import answer_alone

if TYPE_CHECKING:
    from b2bua.call.anchor import Anchor
    from b2bua.call.driver import CallDriver

_NEVER: Final = frozenset(
    {
        *("ADDRESS_NOT_ALLOWED", "DEVICE_INACTIVE", "LOOP", "OVERLOAD", "DRAINING", "BAD_REQUEST", "CANCELLED"),
        *("LIVE_STORE_AWAY", "NO_MEDIA", "NO_PRACK", "NO_DIALOG", "HANGUP_BY_OPERATOR", "INTERNAL_ERROR"),
    }
)
"""Codes of strangers and attacks, of callers who have gone, and of what is wrong with us."""

CODES: Final = frozenset(REFUSALS) - _NEVER
"""Codes that may have an announcement."""


def parse_announcements(texts: tuple[str, ...]) -> dict[str, str]:
    """Read `[media] announcements`: prompts by code.

    Raises:
        InvalidSetting: an entry is malformed, or its code has no announcement.
    """
    prompts = {}
    for text in texts:
        code, equals, prompt = (part.strip() for part in text.partition("="))
        if not equals or not prompt or code not in CODES:
            known = ", ".join(sorted(CODES))
            raise InvalidSetting(f"[media] announcements: {text!r} must look like NO_FUNDS=no-funds, of {known}")
        prompts[code] = prompt
    return prompts


class Announcements:
    """All announcements of a worker.

    Args:
        driver: Makes calls of engines, and leads requests to legs.
        settings: Section [media].

    Raises:
        InvalidSetting: as `parse_announcements`.
    """

    def __init__(self, driver: "CallDriver", settings: MediaSettings) -> None:
        self._driver = driver
        self._prompts = parse_announcements(settings.announcements)
        self._limit = settings.max_announcements
        self.longest = settings.announcement_time
        self._all: set[Announcement] = set()

    @property
    def count(self) -> int:
        """Those that are heard now."""
        return len(self._all)

    def prepare(
        self, call_id: str, leg: CallerLeg, disposition: Disposition, extra: dict[str, str]
    ) -> "Announcement | None":
        """Make the announcement of a refusal, which begins when its call has gone; None: there is none."""
        prompt = self._prompts.get(disposition.code)
        request, driver = leg.request, self._driver
        # Where something has rung before, the caller has a dialog with a session of its own.
        if prompt is None or request is None or leg.dialog is not None or len(self._all) >= self._limit:
            return None
        answer = answer_alone(request.body, driver.address_towards(leg.flow)) if request.body else None
        anchor = driver.new_anchor(f"{call_id}.a") if answer and driver.has_media else None
        if answer is None or anchor is None:
            return None
        refuse = partial(leg.send_failure, disposition.status, disposition.cause, disposition.code, extra)
        made = Announcement(driver, call_id, anchor, leg, prompt, (request.body, answer), refuse)
        self._all.add(made)
        return made

    def remove(self, announcement: "Announcement") -> None:
        """One is over."""
        self._all.discard(announcement)

    def end_all(self) -> None:
        """Refuse at once; the caller of this ends the turn."""
        for announcement in list(self._all):
            announcement.finish()


class Announcement(Nobody, TimerOwner):
    """One announcement.

    Args:
        driver: The worker's.
        call_id: Of the call that was refused.
        anchor: The engine's call.
        leg: Who hears it.
        prompt: What is said.
        session: The caller's offer, and how it is answered.
        refuse: Gives the refusal.
    """

    __slots__ = (
        "_anchor", "_answer", "_call_id", "_driver", "_is_over", "_leg", "_listener", "_offer", "_prompt", "_refuse",
        "_timer",
    )  # fmt: skip

    def __init__(
        self,
        driver: "CallDriver",
        call_id: str,
        anchor: "Anchor",
        leg: CallerLeg,
        prompt: str,
        session: tuple[bytes, bytes],
        refuse: Callable[[], None],
    ) -> None:
        self._driver, self._call_id, self._anchor, self._leg = driver, call_id, anchor, leg
        self._prompt, self._refuse = prompt, refuse
        self._offer, self._answer = session
        self._listener = CalleeLeg(driver.endpoint, leg.flow, NOBODY, "")
        """In the place of whoever would be called."""
        self._timer: Timer[TimerOwner] | None = None
        self._is_over = False

    def begin(self) -> None:
        """The call has gone: its leg is ours."""
        self._leg.user, self._leg.transaction.user = self, self
        self._anchor.offer(self._leg, self._listener, self._offer, self._offered)

    def _offered(self, result: bytes | MediaError) -> None:
        if isinstance(result, MediaError):
            self.finish()
        else:
            self._anchor.answer(self._leg, self._listener, self._answer, self._answered, is_early=True)

    def _answered(self, result: bytes | MediaError) -> None:
        if isinstance(result, MediaError):
            self.finish()
        else:
            self._anchor.play(self._leg, self._prompt, 1, partial(self._playing, result))

    def _playing(self, session: bytes, result: float | MediaError | None) -> None:
        if isinstance(result, MediaError):
            self.finish()
            return
        self._leg.send_provisional(183, session)
        longest = self._driver.announcements.longest
        seconds = longest if result is None else min(result, longest)
        self._timer = self._driver.endpoint.add_timer(seconds, self, 0)

    def on_timer(self, kind: int, now: float) -> None:
        """It has been said."""
        self._timer = None
        self.finish()

    def cancelled(self) -> None:
        """The caller has heard enough (RFC 3261 §9.2)."""
        self._end(lambda: self._leg.send_failure(487, 16, "", {}))

    def finish(self) -> None:
        """Refuse the call."""
        self._end(self._refuse)

    def _end(self, answer: Callable[[], None]) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._driver.announcements.remove(self)
        leg = self._leg
        if self._timer is not None:
            self._driver.endpoint.wheel.cancel(self._timer)
        self._anchor.end()
        answer()
        driver = self._driver
        driver.ladders.end(self._call_id, True, driver.endpoint.now())
        leg.stop()
        leg.user, leg.transaction.user = NOBODY, None
        if leg.dialog is not None:
            self._driver.remove_dialog(leg)

    # LegUser

    def early_dialog_begun(self, leg: Leg) -> None:
        """PRACK and BYE may come."""
        self._driver.add_leg(leg.key, leg)

    def caller_is_deaf(self) -> None:
        """No PRACK came."""
        self.finish()

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """A BYE in the early dialog is as good as CANCEL (RFC 3261 §15)."""
        self.cancelled()
