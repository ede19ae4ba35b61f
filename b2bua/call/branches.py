"""The legs of one attempt: one to a gateway, one to each contact of a SIP user (RFC 3261 §16.7)."""

from b2bua.call.callee_leg import CalleeLeg

Failure = tuple[int, int | None, str]
"""Status (0: no answer), Q.850 cause, and code of what had no answer."""


class Branches:
    """Legs that ring at the same time; the first to answer has the call."""

    __slots__ = ("best", "legs")

    def __init__(self) -> None:
        self.legs: list[CalleeLeg] = []
        self.best: Failure = (0, None, "NO_RESPONSE")
        """What says most of all that has failed."""

    def begin(self) -> None:
        """Another attempt: nothing is left of the one before."""
        self.legs.clear()
        self.best = (0, None, "NO_RESPONSE")

    def add(self, leg: CalleeLeg) -> None:
        """One more rings."""
        self.legs.append(leg)

    def fail(self, leg: CalleeLeg, status: int, cause: int | None, code: str = "") -> Failure | None:
        """A leg has failed.

        Args:
            leg: Which.
            status: Its answer; 0: there was none.
            cause: Q.850, where the answer has one.
            code: Why there was no answer.

        Returns:
            What becomes of the whole attempt once no leg is left, or when one answer ends it for all; None: the others
            ring on.
        """
        self.legs.remove(leg)
        if _rank(status) > _rank(self.best[0]) or not self.best[0]:
            self.best = (status, cause, code)
        if status >= 600:
            self.abandon()
        return None if self.legs else self.best

    def win(self, leg: CalleeLeg) -> None:
        """A leg has answered: the others are taken back, and ended should they answer too."""
        self.legs.remove(leg)
        self.abandon()
        self.legs.append(leg)

    def abandon(self) -> None:
        """Take back all that ring."""
        for leg in self.legs:
            leg.abandon()
        self.legs.clear()


def _rank(status: int) -> int:
    # Nobody (6xx) says most, then busy, then the lower class; being sent elsewhere says little, no answer at all least.
    if not status:
        return 0
    if status < 400:
        return 1
    if status >= 600:
        return 10
    return 9 if status == 486 else 8 - status // 100
