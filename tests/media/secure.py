"""Ends that speak SRTP, with libsrtp itself and keys of their own."""

import secrets
from base64 import b64decode, b64encode
from typing import Any

from pylibsrtp import Error, Policy, Session

from media.description import Description
from tests.media.rig import End

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30, 10),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30, 4),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28, 16),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44, 16),
}
"""Profile, bytes of the key, bytes that a packet of RTP grows by."""

CM_80 = "AES_CM_128_HMAC_SHA1_80"


class Encrypting:
    """A port that encrypts what is sent by it."""

    def __init__(self, end: "SecureEnd", control: bool) -> None:
        self._end = end
        self._port = end.rtcp if control else end.rtp
        self._control = control

    def sendto(self, data: bytes, target: tuple[str, int]) -> None:
        session = self._end.sending
        self._port.sendto(session.protect_rtcp(data) if self._control else session.protect(data), target)


class SecureEnd(End):
    """A telephone with SRTP.

    Args:
        suite: The one that it offers, or answers with.
        protocol: Of its media line.
    """

    def __init__(self, suite: str = CM_80, protocol: str = "RTP/SAVP") -> None:
        super().__init__()
        self.suite, self.protocol = suite, protocol
        self.tag = 1
        self.ours = b""
        self.theirs = b""
        self.renew()

    def renew(self) -> None:
        """Take another key for what is sent."""
        profile, size, _ = SUITES[self.suite]
        self.ours = secrets.token_bytes(size)
        self.sending = Session(Policy(self.ours, Policy.SSRC_ANY_OUTBOUND, 0, profile))

    def __enter__(self) -> "SecureEnd":
        return self

    def sdp(self, **options: Any) -> bytes:
        """Its description."""
        key = f"a=crypto:{self.tag} {self.suite} inline:{b64encode(self.ours).decode()}|2^31\n"
        extra = options.pop("extra", "")
        media = f"m=audio {self.port} {self.protocol} 0 8 101\na=rtpmap:101 telephone-event/8000\n{key}{extra}"
        return super().sdp(**{"media": media, **options})

    def learn(self, answer: bytes, index: int = 0) -> Description:
        """Take up where to send and what comes is encrypted with."""
        session = super().learn(answer, index)
        medium = session.media[index]
        assert medium.protocol.decode() == self.protocol
        for tag, suite, key in keys_of(answer):
            if suite == self.suite:
                self.tag = int(tag)
                if key != self.theirs:
                    self.theirs = key
                    self.receiving = Session(Policy(key, Policy.SSRC_ANY_INBOUND, 0, SUITES[suite][0]))
                return session
        raise AssertionError(answer)

    def say(self, count: int = 1) -> None:
        """Send packets of G.711, encrypted."""
        self.send(count, via=Encrypting(self, control=False))  # type: ignore[arg-type]

    def report(self, data: bytes) -> None:
        """Send RTCP, encrypted."""
        Encrypting(self, control=True).sendto(data, (self.target[0], self.target[1] + 1))

    async def hears(self, count: int) -> list[bytes]:
        """Wait for so many packets and decrypt them."""
        found = await self.gets(count)
        return [self.receiving.unprotect(data) for data, _ in found]

    async def hears_reports(self, count: int) -> list[bytes]:
        """The same of RTCP."""
        found = await self.gets(count, self.rtcp)
        return [self.receiving.unprotect_rtcp(data) for data, _ in found]


def keys_of(body: bytes) -> list[tuple[str, str, bytes]]:
    """Tag, suite and key of each a=crypto line."""
    found = []
    for line in body.decode().splitlines():
        if line.startswith("a=crypto:"):
            tag, suite, key = line[9:].split()[:3]
            found.append((tag, suite, b64decode(key.removeprefix("inline:").partition("|")[0])))
    return found


def is_readable(session: Session, data: bytes) -> bool:
    """Whether a packet was made with a key."""
    try:
        session.unprotect(data)
    except Error:
        return False
    return True
