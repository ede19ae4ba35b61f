"""What a gateway or a device asks of media that goes through an engine (docs/behaviour.md §5)."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class MediaWishes:
    """How somebody wants to be spoken to."""

    srtp: str = "off"
    """What it is offered: `off` (RTP) or `required` (SRTP with keys in the description)."""
    dtmf: str = "passed"
    """How digits come to it: `passed` (as they were sent), `telephone-event` or `info`."""

    @property
    def needs_engine(self) -> bool:
        """Whether a call has to go through an engine for them."""
        return self != PASSED

    @property
    def needs_encryption(self) -> bool:
        """Whether it has to be offered SRTP."""
        return self.srtp == "required"


PASSED: Final = MediaWishes()
"""Of who asks for nothing."""
