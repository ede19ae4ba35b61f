"""What a gateway or a device asks of media that goes through an engine (docs/behaviour.md §5)."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MediaWishes:
    """How somebody wants to be spoken to."""

    srtp: str = "off"
    """What it is offered: `off` (RTP), `offered` (SRTP where the other side offers it and signalling is secure) or
    `required` (SRTP)."""
    dtmf: str = "passed"
    """How digits come to it: `passed` (as they were sent), `telephone-event` or `info`."""

    @property
    def needs_engine(self) -> bool:
        """Whether a call has to go through an engine for them."""
        return self.needs_encryption or self.dtmf != "passed"

    @property
    def needs_encryption(self) -> bool:
        """Whether it has to be offered SRTP."""
        return self.srtp == "required"

    def takes_encryption(self, *, is_offered: bool, is_signalled_securely: bool) -> bool:
        """Whether it is offered SRTP, by what the other side offers, and the way that the keys would go."""
        return self.needs_encryption or (self.srtp == "offered" and is_offered and is_signalled_securely)


PASSED: Final = MediaWishes()
"""Of a gateway that asks for nothing."""

AS_OFFERED: Final = MediaWishes("offered")
"""Of a device that asks for nothing."""
