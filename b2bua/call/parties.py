"""The two sides of a call: which leg is on which, and what each has said last of its session.

A transfer puts another leg into a side's place. Whoever stays there goes on seeing one session whose versions only grow
(RFC 3264 §8), though another endpoint describes it from then on.
"""

from b2bua.call.callee_leg import CalleeLeg
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.events import Side
from b2bua.call.leg import Leg
from b2bua.sip.dialog import Dialog
from media.sdp import replace_origin, session_version


class Parties:
    """Legs and sessions of one call.

    Args:
        session_id: Of all session descriptions that we pass on.
        offer: The caller's session description, or empty.
    """

    __slots__ = ("_later", "_said", "_session_id", "_stand_ins", "callee", "caller")

    def __init__(self, session_id: int, offer: bytes) -> None:
        self.caller: CallerLeg
        """The leg that called us."""
        self.callee: CalleeLeg | None = None
        """The leg that we call, or called."""
        self._session_id = session_id
        self._said = [offer, b""]
        self._stand_ins: dict[Side, Leg] = {}
        self._later: dict[Leg, int] = {}
        """What is added to the versions of session descriptions towards a leg."""

    # Who

    def on(self, side: Side) -> Leg | None:
        """The leg that is on a side now."""
        return self._stand_ins.get(side) or (self.caller if side == Side.CALLER else self.callee)

    def side_of(self, leg: Leg) -> Side:
        """The side that a leg is on."""
        return Side.CALLER if leg is self.on(Side.CALLER) else Side.CALLEE

    def opposite(self, leg: Leg) -> Leg | None:
        """The leg that it talks with."""
        return self.on(_OTHER[self.side_of(leg)])

    def replace(self, side: Side, leg: Leg) -> None:
        """Another leg is on a side from now on."""
        self._stand_ins[side] = leg

    def is_replaced(self, side: Side) -> bool:
        """Whether the leg of a side is not the one that the call began with."""
        return side in self._stand_ins

    @property
    def legs(self) -> list[Leg]:
        """Every leg that is or was on a side."""
        return [leg for leg in (self.caller, self.callee, *self._stand_ins.values()) if leg is not None]

    @property
    def dialogs(self) -> tuple[Dialog, Dialog]:
        """The caller's side's and the callee's side's, of an answered call."""
        caller, callee = self.on(Side.CALLER), self.on(Side.CALLEE)
        dialog = self.caller.make_dialog() if caller is self.caller else caller.dialog if caller is not None else None
        assert dialog is not None
        assert callee is not None
        assert callee.dialog is not None
        return dialog, callee.dialog

    # What they say

    def said(self, side: Side) -> bytes:
        """The session description that a side sent last, as it came; empty: none."""
        return self._said[side]

    def say(self, side: Side, body: bytes) -> None:
        """A side describes its session."""
        self._said[side] = body

    def heard_from(self, body: bytes, towards: Leg) -> None:
        """The side opposite a leg describes its session."""
        self._said[_OTHER[self.side_of(towards)]] = body

    def as_ours(self, body: bytes, leg: Leg | None) -> bytes:
        """A session description as the peer of a leg should see it: its origin is ours."""
        if not body or leg is None:
            return body
        host = leg.endpoint.sent_by(leg.flow).rpartition(":")[0].strip("[]")
        later = self._later.get(leg, 0) if self._later else 0
        return replace_origin(body, self._session_id, host, later)

    def begin_anew(self, body: bytes, towards: Leg) -> None:
        """Another endpoint describes the session to a leg from now on: its versions come after all before."""
        seen = session_version(self._said[_OTHER[self.side_of(towards)]]) + self._later.get(towards, 0)
        self._later[towards] = max(0, seen + 1 - session_version(body))

    def take_callee(self, old: "Parties", leg: Leg) -> None:
        """A leg comes from another call, and goes on seeing the session of that one."""
        seen = session_version(old.said(Side.CALLER)) + old._later.get(leg, 0)  # noqa: SLF001 - one of us
        self._session_id = old._session_id  # noqa: SLF001
        self._later[leg] = max(0, seen + 1 - session_version(self._said[Side.CALLER]))


_OTHER = {Side.CALLER: Side.CALLEE, Side.CALLEE: Side.CALLER}
