"""SRTP and SRTCP (RFC 3711, RFC 7714) of one end: what it sends is decrypted, what is sent to it is encrypted.

libsrtp does the work. It keeps a context for each SSRC and tells nobody how far that is, while the engine that follows
one that died has to go on from there: so the newest packet of each SSRC is known here too, and another cipher is led
there by packets that nobody gets. What comes twice, too late, or was not made with the key is counted and dropped.
"""

import struct
from collections.abc import Callable
from typing import Any, Final

from pylibsrtp import Error, Policy, Session

from media import rtcp, rtp
from media.sdes import Crypto

PROFILES: Final = {
    "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
    "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
}

SOURCES_LIMIT: Final = 64
"""SSRCs of one direction; what has another one is dropped, since each keeps memory for as long as the key counts."""

SAVE_EVERY: Final = 1 << 14
"""Packets of an SSRC after which its place is noted: a quarter of what a sequence number can tell."""

REPORTS_MARGIN: Final = 256
"""The same of RTCP, whose place is not noted exactly: another cipher begins so many packets later."""

_STEP: Final = 0x7000
"""Most packets that a context can be led on at once."""

_INDEX_LIMIT: Final = 1 << 30
"""A context that is further is not led there: at 50 packets a second it takes 248 days."""

_REPORTS_LIMIT: Final = 1 << 18

Places = dict[int, int]
"""The newest packet by SSRC: how often its sequence number began anew, times 65,536, and that number."""

State = dict[str, Any]


class Failures:
    """What was dropped."""

    __slots__ = ("authentication", "other", "replay")

    def __init__(self) -> None:
        self.authentication = self.replay = self.other = 0

    def count(self, error: Exception) -> None:
        """Count a packet by what libsrtp says of it."""
        text = str(error)
        if text.startswith("authentication"):
            self.authentication += 1
        elif text.startswith("replay"):
            self.replay += 1
        else:
            self.other += 1


class _Direction:
    """One key: a context for each SSRC."""

    def __init__(self, crypto: Crypto, kind: int) -> None:
        self.crypto = crypto
        self.session = Session(Policy(crypto.key, kind, 0, PROFILES[crypto.suite]))
        self.places: Places = {}
        self.reports: Places = {}
        """RTCP packets by SSRC."""

    def has_room(self, ssrc: int) -> bool:
        return ssrc in self.places or len(self.places) < SOURCES_LIMIT

    def note(self, ssrc: int, sequence: int) -> bool:
        """Take in a packet that went well; tells whether its place is worth noting."""
        place = self.places.get(ssrc)
        if place is None:
            self.places[ssrc] = sequence
            return True
        # RFC 3711 §3.3.1, as libsrtp has it: nothing comes before the beginning.
        newest = sequence if place <= 0x8000 else place + ((sequence - place + 0x8000) & 0xFFFF) - 0x8000
        if newest <= place:
            return False
        self.places[ssrc] = newest
        return newest // SAVE_EVERY != place // SAVE_EVERY

    def note_report(self, ssrc: int) -> bool:
        count = self.reports[ssrc] = self.reports.get(ssrc, 0) + 1
        return count % REPORTS_MARGIN == 1


class Cipher:
    """Both directions of one end.

    Args:
        theirs: The key of what it sends.
        ours: The key of what is sent to it.
    """

    __slots__ = ("_in", "_out", "failures", "noted", "ours", "theirs")

    def __init__(self, theirs: Crypto, ours: Crypto) -> None:
        self.theirs, self.ours = theirs, ours
        self._in = _Direction(theirs, Policy.SSRC_ANY_INBOUND)
        self._out = _Direction(ours, Policy.SSRC_ANY_OUTBOUND)
        self.failures = Failures()
        self.noted: Callable[[], None] = nothing
        """Called when the state should be noted for a restart."""

    def renew(self, theirs: Crypto, ours: Crypto) -> None:
        """Take other keys; a direction whose key is the same goes on as it was."""
        if not theirs.is_same_key(self.theirs):
            self._in = _Direction(theirs, Policy.SSRC_ANY_INBOUND)
        if not ours.is_same_key(self.ours):
            self._out = _Direction(ours, Policy.SSRC_ANY_OUTBOUND)
        self.theirs, self.ours = theirs, ours

    # Packets

    def decrypt(self, data: bytes) -> bytes | None:
        """RTP that came from the end; None: it is to be dropped."""
        return self._change(self._in, self._in.session.unprotect, data)

    def encrypt(self, data: bytes) -> bytes | None:
        """RTP for the end; None: it is to be dropped."""
        return self._change(self._out, self._out.session.protect, data)

    def decrypt_control(self, data: bytes) -> bytes | None:
        """RTCP that came from the end; None: it is to be dropped."""
        return self._change_control(self._in.session.unprotect_rtcp, data)

    def encrypt_control(self, data: bytes) -> bytes | None:
        """RTCP for the end; None: it is to be dropped."""
        changed = self._change_control(self._out.session.protect_rtcp, data)
        if changed is not None and self._out.note_report(_ssrc_of_report(data)):
            self.noted()
        return changed

    def _change(self, direction: _Direction, change: Callable[[bytes], bytes], data: bytes) -> bytes | None:
        if len(data) < rtp.HEADER_SIZE or data[0] >> 6 != 2:
            self.failures.other += 1
            return None
        _, _, sequence, _, ssrc = rtp.HEADER.unpack_from(data)
        if not direction.has_room(ssrc):
            self.failures.other += 1
            return None
        try:
            changed = change(data)
        except (Error, ValueError) as error:
            self.failures.count(error)
            return None
        if direction.note(ssrc, sequence):
            self.noted()
        return changed

    def _change_control(self, change: Callable[[bytes], bytes], data: bytes) -> bytes | None:
        out = self._out
        if len(data) < 8 or (len(out.reports) >= SOURCES_LIMIT and _ssrc_of_report(data) not in out.reports):
            self.failures.other += 1
            return None
        try:
            return change(data)
        except (Error, ValueError) as error:
            self.failures.count(error)
            return None

    # A restart

    def to_state(self) -> State:
        """How far the contexts are."""
        return {"in": self._in.places, "out": self._out.places, "reports": self._out.reports}

    def resume(self, state: State) -> None:
        """Go on where another cipher of the same keys was."""
        sender = _Direction(self.theirs, Policy.SSRC_ANY_OUTBOUND).session
        for ssrc, place in _places(state["in"]):
            _lead(ssrc, place, lambda packet: self._in.session.unprotect(sender.protect(packet)))
            self._in.places[ssrc] = place
        for ssrc, place in _places(state["out"]):
            _lead(ssrc, place, self._out.session.protect)
            self._out.places[ssrc] = place
        for ssrc, count in _places(state["reports"]):
            # Of two packets with one number more than their contents would be known.
            self._out.reports[ssrc] = count + REPORTS_MARGIN
            for _ in range(min(count + REPORTS_MARGIN, _REPORTS_LIMIT)):
                self._out.session.protect_rtcp(rtcp.pack(rtcp.Report(ssrc, [])))


class Sealed(Cipher):
    """In the place of a cipher whose keys are not all known yet: lets nothing through."""

    def __init__(self) -> None:
        self.failures = Failures()
        self.noted = nothing

    def decrypt(self, data: bytes) -> bytes | None:
        """Nobody knows its key."""
        return None

    encrypt = decrypt_control = encrypt_control = decrypt

    def to_state(self) -> State:
        """There is none."""
        return {"in": {}, "out": {}, "reports": {}}


def _places(state: dict[Any, Any]) -> list[tuple[int, int]]:
    known = [(int(ssrc), int(place)) for ssrc, place in state.items()]
    return [(ssrc, place) for ssrc, place in known[:SOURCES_LIMIT] if 0 <= place < _INDEX_LIMIT]


def _lead(ssrc: int, place: int, take: Callable[[bytes], object]) -> None:
    """Lead a context to a packet, in steps that it can follow."""
    for index in range(place % _STEP, place + 1, _STEP):
        take(rtp.pack(0, index & 0xFFFF, 0, ssrc, b""))


def _ssrc_of_report(data: bytes) -> int:
    (ssrc,) = struct.unpack_from("!I", data, 4)
    return int(ssrc)


def nothing() -> None:
    """Nobody wants to know."""
