"""Programs that look for switches to misuse, by the User-Agent that they show (docs/behaviour.md §1, 6).

A scanner may call itself anything; these are those that do not. Tools that operators use too, such as sipsak and sipp,
are not among them.
"""

from typing import Final

_ANYWHERE: Final = (
    "friendly-scanner",
    "friendly-request",
    "sipvicious",
    "sundayddr",
    "vaxsipuseragent",
    "vaxipuseragent",
    "siparmyknife",
    "sip-scan",
    "sipscan",
)
"""Names that nothing else contains."""

_AT_THE_START: Final = ("sipcli", "pplsip", "smap", "iwar", "sivus", "gulp", "sipv")
"""Names so short that they could stand inside of others."""


def is_scanner(user_agent: str) -> bool:
    """Whether a User-Agent value is that of a known scanner."""
    name = user_agent.lower()
    return name.startswith(_AT_THE_START) or any(each in name for each in _ANYWHERE)
