"""A stream as the kernel passes it on, and what it has counted of it."""

from dataclasses import dataclass
from typing import NamedTuple

Endpoint = tuple[str, int]


class Flow(NamedTuple):
    """The addresses of a stream: two ends, and our two ports between them."""

    first: Endpoint
    """The end that the entry is written for."""

    first_local: Endpoint
    """Our port that it sends to."""

    second_local: Endpoint
    """Our port that the other end sends to."""

    second: Endpoint


@dataclass(slots=True)
class FlowCount:
    """Packets and bytes of one direction."""

    packets: int = 0
    octets: int = 0
    """Of RTP: without the headers of UDP and IP."""
