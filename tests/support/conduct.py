"""What a user agent may say to one peer, as RFC 3261 has it: a model that is told all that went between the two.

It shares no code with the switch but the parser. `Conduct` is fed in the order in which the party knew of the messages:
what was lost counts as said, what came twice counts once, when it first came.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from b2bua.sip.message import Request, Response

if TYPE_CHECKING:
    from tests.support.legs import Carried, Wire

T1_64: Final = 32.0
_NEAR: Final = 0.5
"""What may be about to end counts neither way."""


@dataclass(slots=True, eq=False)
class OurInvite:
    """An INVITE of the party's."""

    cseq: int
    call_id: str
    branch: str
    tag: str
    at: float
    is_proceeding: bool = False
    cancelled_at: float | None = None
    answered_at: float | None = None
    refusal: int = 0
    tags: set[str] = field(default_factory=set)
    """Tags of its 2xx."""

    def is_dead(self, at: float) -> bool:
        """Whether an answer that comes now may go unheard: the transaction has ended, or is about to."""
        if self.answered_at is not None:
            return at > self.answered_at + T1_64 - _NEAR
        if self.cancelled_at is not None:
            return at > self.cancelled_at + T1_64 - _NEAR
        return not self.is_proceeding and at > self.at + T1_64 - _NEAR


@dataclass(slots=True, eq=False)
class Confirmed:
    """A dialog that a 2xx has made."""

    is_ours: bool
    """Whether the INVITE was the party's."""
    at: float
    is_acknowledged: bool = False
    ended_by: str = ""
    """`us` or `peer`."""
    number: int = 0
    """Of the party's last request."""


Key = tuple[str, str, str]
"""Call-ID, the party's tag, the peer's."""


class Conduct:
    """Judges one party towards one peer.

    Args:
        peer: Its address, for what is said about it.
    """

    def __init__(self, peer: str) -> None:
        self._peer = peer
        self._at = 0.0
        self._invites: dict[str, OurInvite] = {}
        self._dialogs: dict[Key, Confirmed] = {}
        self._sent: set[tuple[str, str]] = set()
        """Branch and method of each request of the party."""
        self._asked: dict[tuple[str, str], Request] = {}
        """Requests of the peer."""
        self._answers: dict[tuple[str, str], list[tuple[int, str]]] = {}
        """Status and tag of each answer to them."""
        self._acks: set[tuple[str, int, str]] = set()
        """Call-ID, number and peer's tag of each ACK of the party."""
        self.faults: list[str] = []

    def _fault(self, text: str) -> None:
        self.faults.append(f"{self._peer} at {self._at:.2f}: {text}")

    # What the party says

    def said(self, message: Request | Response, at: float) -> None:
        """The party has sent something."""
        self._at = at
        if isinstance(message, Response):
            self._answered(message)
        elif message.method == "ACK":
            self._acknowledged(message)
        elif (key := (message.via.branch, message.method)) not in self._sent:
            self._sent.add(key)
            self._asked_anew(message)

    def _asked_anew(self, request: Request) -> None:
        method = request.method
        if method == "CANCEL":
            self._cancelled(request)
            return
        if not request.to_tag:
            if method == "INVITE":
                branch = request.via.branch
                invite = OurInvite(request.cseq, request.call_id, branch, request.from_tag, self._at)
                self._invites[branch] = invite
            return
        dialog = self._dialogs.get((request.call_id, request.from_tag, request.to_tag))
        if dialog is None:
            self._fault(f"{method} in a dialog that is not there")
            return
        if dialog.ended_by:
            self._fault(f"{method} after the BYE of {dialog.ended_by}")
        if request.cseq <= dialog.number:
            self._fault(f"{method} has number {request.cseq} after {dialog.number}")
        dialog.number = request.cseq
        if method == "INVITE":
            branch = request.via.branch
            self._invites[branch] = OurInvite(request.cseq, request.call_id, branch, request.from_tag, self._at)
        elif method == "BYE":
            self._hung_up(dialog)

    def _hung_up(self, dialog: Confirmed) -> None:
        dialog.ended_by = "us"
        if dialog.is_acknowledged or (not dialog.is_ours and self._at >= dialog.at + T1_64 - _NEAR):
            return
        self._fault(f"BYE before the ACK of {'our INVITE' if dialog.is_ours else 'our 2xx'}")

    def _cancelled(self, cancel: Request) -> None:
        invite = self._invites.get(cancel.via.branch)
        if invite is None:
            self._fault("CANCEL of nothing")
            return
        if not invite.is_proceeding:
            self._fault("CANCEL before a provisional answer")
        if invite.answered_at is not None or invite.refusal:
            self._fault("CANCEL after a final answer")
        invite.cancelled_at = self._at

    def _acknowledged(self, ack: Request) -> None:
        self._acks.add((ack.call_id, ack.cseq, ack.to_tag))
        invites = [each for each in self._invites.values() if (each.call_id, each.cseq) == (ack.call_id, ack.cseq)]
        if not any(each.refusal or ack.to_tag in each.tags for each in invites):
            self._fault(f"ACK {ack.cseq} of an answer that has not come")
        dialog = self._dialogs.get((ack.call_id, ack.from_tag, ack.to_tag))
        if dialog is not None:
            dialog.is_acknowledged = True

    def _answered(self, response: Response) -> None:
        key = (response.via.branch, response.method)
        request = self._asked.get(key)
        if request is None:
            self._fault(f"{response.status} {response.method} answers nothing")
            return
        before = self._answers.setdefault(key, [])
        finals = {(status, tag) for status, tag in before if status >= 200}
        answer = (response.status, response.to_tag)
        before.append(answer)
        if request.to_tag and response.to_tag != request.to_tag:
            self._fault(f"{response.status} {response.method} has another To-tag than its request")
        if response.status < 200 and finals:
            self._fault(f"{response.status} {response.method} after a final answer")
        if response.status >= 200 and finals - {answer}:
            self._fault(f"{response.status} {response.method} after {sorted(finals)}")
        if response.method == "INVITE" and 200 <= response.status < 300 and not request.to_tag:
            dialog = (request.call_id, response.to_tag, request.from_tag)
            self._dialogs.setdefault(dialog, Confirmed(False, self._at))

    # What the peer says

    def heard(self, message: Request | Response, at: float) -> None:
        """Something has come for the first time."""
        self._at = at
        if isinstance(message, Response):
            self._was_answered(message)
        elif message.method == "ACK":
            dialog = self._dialogs.get((message.call_id, message.to_tag, message.from_tag))
            if dialog is not None:
                dialog.is_acknowledged = True
        elif (key := (message.via.branch, message.method)) not in self._asked:
            self._asked[key] = message
            dialog = self._dialogs.get((message.call_id, message.to_tag, message.from_tag))
            if message.method == "BYE" and dialog is not None and not dialog.ended_by:
                dialog.ended_by = "peer"

    def _was_answered(self, response: Response) -> None:
        invite = self._invites.get(response.via.branch)
        if invite is None or response.method != "INVITE" or invite.refusal or invite.is_dead(self._at):
            return
        if response.status < 200:
            invite.is_proceeding = True
        elif response.status < 300:
            invite.answered_at = self._at if invite.answered_at is None else invite.answered_at
            invite.tags.add(response.to_tag)
            dialog = (response.call_id, invite.tag, response.to_tag)
            # A re-INVITE's 2xx makes no other dialog than the one it is in.
            self._dialogs.setdefault(dialog, Confirmed(True, self._at, number=invite.cseq))
        elif invite.answered_at is None:
            invite.refusal = response.status

    # In the end

    def finish(self) -> None:
        """Nothing more will be said."""
        for invite in self._invites.values():
            for tag in invite.tags:
                if (invite.call_id, invite.cseq, tag) not in self._acks:
                    self._fault(f"2xx of INVITE {invite.cseq} with tag {tag} has no ACK")
            if invite.refusal and not any(ack[:2] == (invite.call_id, invite.cseq) for ack in self._acks):
                self._fault(f"{invite.refusal} of INVITE {invite.cseq} has no ACK")
        for key, dialog in self._dialogs.items():
            if not dialog.ended_by:
                self._fault(f"dialog {key} goes on")
        for (branch, method), request in self._asked.items():
            if not any(status >= 200 for status, _ in self._answers.get((branch, method), ())):
                self._fault(f"{method} {request.cseq} has no final answer")
        confirmed = [key for key, dialog in self._dialogs.items() if not dialog.is_ours]
        if len(confirmed) > 1:
            self._fault(f"{len(confirmed)} dialogs were confirmed")


def find_faults(wire: "Wire", party: str, peers: Iterable[str]) -> list[str]:
    """Everything that a party has done wrong towards any of its peers."""
    faults: list[str] = []
    for peer in peers:
        conduct = Conduct(peer)
        for carried, is_ours in _as_party_knew(wire.carried, party, peer):
            (conduct.said if is_ours else conduct.heard)(carried.message, carried.at if is_ours else carried.came_at)
        conduct.finish()
        faults += conduct.faults
    return faults


def _as_party_knew(carried: Sequence["Carried"], party: str, peer: str) -> list[tuple["Carried", bool]]:
    sent = [
        (index + 0.5, each, True) for index, each in enumerate(carried) if (each.source, each.target) == (party, peer)
    ]
    came = [
        (float(each.arrived), each, False)
        for each in carried
        if (each.source, each.target) == (peer, party) and each.arrived
    ]
    return [(each, is_ours) for _, each, is_ours in sorted([*sent, *came], key=lambda entry: entry[0])]
