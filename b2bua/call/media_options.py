"""What an engine is asked to make of a session description, by what the two sides want (docs/behaviour.md §5)."""

import re
from typing import Final

from b2bua.policy.media_wishes import MediaWishes
from media.ng import Options

SECURE: Final = "RTP/SAVP"
PLAIN: Final = "RTP/AVP"

_SECURE_LINE: Final = re.compile(rb"^m=[a-z]+ [1-9][0-9/]* RTP/SAVPF? ", re.MULTILINE | re.IGNORECASE)
_EVENTS: Final = ("telephone-event",)
_INJECTS: Final = ("inject-DTMF",)
"""What rtpengine has to know beforehand; ours need not."""


def is_secure(body: bytes) -> bool:
    """Whether a description speaks of SRTP whose keys it has itself."""
    return _SECURE_LINE.search(body) is not None


def protocol_towards(body: bytes, wishes: MediaWishes, *, speaks_srtp: bool | None, is_signalled_securely: bool) -> str:
    """The protocol that an offer is to have; empty: the one that it has.

    Args:
        body: The offer.
        wishes: Of who gets it.
        speaks_srtp: Whether its own last description was of SRTP; None: there was none.
        is_signalled_securely: Whether nobody else reads what is sent to it.
    """
    offered = is_secure(body)
    wanted = speaks_srtp
    if wanted is None:
        wanted = wishes.takes_encryption(is_offered=offered, is_signalled_securely=is_signalled_securely)
    if wanted == offered:
        return ""
    return SECURE if wanted else PLAIN


def add_digits(options: Options, speaker: MediaWishes, listener: MediaWishes) -> None:
    """Ask for what is needed to convert digits.

    Args:
        options: Of the description; changed.
        speaker: Whose description it is.
        listener: Who gets it.
    """
    if "telephone-event" in (speaker.dtmf, listener.dtmf):
        options.flags = _INJECTS
    if listener.dtmf == "info":
        # What it does not know it is not sent; whoever speaks to it is heard by the engine.
        options.codec_mask = _EVENTS
        options.takes_events = True
    elif listener.dtmf == "telephone-event" or speaker.dtmf == "info":
        options.codec_transcode = _EVENTS
