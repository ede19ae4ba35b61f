"""The keys of a leg: what we have offered its end, what it has said, and the cipher that follows (RFC 4568 §5, §7).

Each leg has keys of its own; those of one end are never told to the other. An offer within a call repeats the key that
counts, so that nothing changes unless the end changes its own. Nothing goes to an end, or is taken from it, between an
offer of SRTP and its answer.
"""

from base64 import b64decode, b64encode
from typing import Any

from media.description import Medium
from media.errors import InvalidDescription
from media.ng import Message, Options
from media.sdes import KEY_SIZES, Crypto, choose, find_answer, make_offer
from media.srtp import Cipher, Sealed, nothing

State = dict[str, Any]

_PROTOCOLS = frozenset({"RTP/AVP", "RTP/AVPF", "RTP/SAVP", "RTP/SAVPF"})
"""What a medium of RTP can be turned into."""


def protocol_towards(medium: Medium, options: Options) -> bytes:
    """The protocol that the receiver of an offer is shown.

    Raises:
        InvalidDescription: the one that is asked for cannot be made of the medium.
    """
    asked = options.transport_protocol.upper()
    if not asked or not medium.is_rtp:
        return medium.protocol
    if medium.is_passed_encrypted:
        if "SAVP" not in asked:
            raise InvalidDescription("SRTP whose keys are not in a=crypto lines cannot be decrypted")
        return medium.protocol
    if asked not in _PROTOCOLS:
        raise InvalidDescription(f"media cannot be turned into {asked[:32]}")
    return asked.encode()


class LegKeys:
    """The keys of one leg."""

    __slots__ = ("cipher", "offered")

    def __init__(self) -> None:
        self.cipher: Cipher | None = None
        """None: what passes is in the clear, or nobody here can read it."""
        self.offered: tuple[Crypto, ...] = ()
        """Our keys in the newest offer to the end; none: it was offered none."""

    def offer(self, *, is_secure: bool, is_first: bool) -> tuple[Crypto, ...]:
        """Offer the end keys, or none.

        Args:
            is_secure: Whether SRTP is offered.
            is_first: Whether nothing was agreed on yet, so that the offer counts at once.
        """
        known = self.cipher
        if not is_secure:
            self.offered = ()
        elif known is not None and not isinstance(known, Sealed) and not is_first:
            self.offered = (known.ours,)
        else:
            self.offered = make_offer()
        if is_first:
            self.cipher = Sealed() if is_secure else None
        return self.offered

    def take_offer(self, medium: Medium) -> None:
        """Let what the end has offered count."""
        if not medium.has_keys:
            self.cipher = None
            return
        theirs, known = choose(medium.lines), self.cipher
        if known is None or isinstance(known, Sealed) or known.ours.suite != theirs.suite:
            ours = Crypto.make(theirs.tag, theirs.suite)
        else:
            ours = known.ours.tagged(theirs.tag)
        self._use(theirs, ours)

    def check_answer(self, medium: Medium) -> None:
        """Look whether what the end answers can count.

        Raises:
            InvalidDescription: it does not answer what was offered.
        """
        if self.offered:
            if not medium.is_secure:
                raise InvalidDescription("the answer is in the clear, but SRTP was offered")
            find_answer(medium.lines, self.offered)
        elif medium.has_keys:
            raise InvalidDescription("the answer is SRTP, which was not offered")

    def take_answer(self, medium: Medium) -> None:
        """Let what the end has answered count."""
        if self.offered:
            self._use(*find_answer(medium.lines, self.offered))
        else:
            self.cipher = None

    @property
    def answered(self) -> tuple[Crypto, ...]:
        """What our answer to the end's offer says."""
        return () if self.cipher is None or isinstance(self.cipher, Sealed) else (self.cipher.ours,)

    def report(self) -> Message:
        """What is told of them: the suite, and what was dropped."""
        cipher = self.cipher
        if cipher is None:
            return {}
        failures = cipher.failures
        dropped = {"not authentic": failures.authentication, "replayed": failures.replay, "other": failures.other}
        return {"suite": self.answered[0].suite if self.answered else "", "dropped": dropped}

    def _use(self, theirs: Crypto, ours: Crypto) -> None:
        if self.cipher is None or isinstance(self.cipher, Sealed):
            self.cipher = Cipher(theirs, ours)
        else:
            self.cipher.renew(theirs, ours)

    def close(self) -> None:
        """Nobody is told any more how far the cipher is."""
        if self.cipher is not None:
            self.cipher.noted = nothing

    # A restart

    def to_state(self) -> State | None:
        """What has to be known to go on; None: nothing."""
        cipher = self.cipher
        if cipher is None and not self.offered:
            return None
        state: State = {"offered": [_save(crypto) for crypto in self.offered], "is_sealed": isinstance(cipher, Sealed)}
        if cipher is not None and not isinstance(cipher, Sealed):
            state |= {"theirs": _save(cipher.theirs), "ours": _save(cipher.ours), **cipher.to_state()}
        return state

    def resume(self, state: State | None) -> None:
        """Go on from before a restart.

        Raises:
            ValueError: it is no such state (KeyError and TypeError too).
        """
        if state is None:
            return
        self.offered = tuple(_load(each) for each in state["offered"])
        if state["is_sealed"]:
            self.cipher = Sealed()
        elif "theirs" in state:
            self.cipher = Cipher(_load(state["theirs"]), _load(state["ours"]))
            self.cipher.resume(state)


def _save(crypto: Crypto) -> list[Any]:
    return [crypto.tag, crypto.suite, b64encode(crypto.key).decode()]


def _load(values: list[Any]) -> Crypto:
    tag, suite, text = values
    key = b64decode(text, validate=True)
    if len(key) != KEY_SIZES.get(suite):
        msg = "not a key of its suite"
        raise ValueError(msg)
    return Crypto(int(tag), suite, key)
