"""The form that bans a source."""

from typing import Final

from admin.forms.field import Input

LONGEST: Final = 5_256_000
"""Minutes: ten years."""

INPUTS: Final = (
    Input("source", "Source", "One IPv4 or IPv6 address, like 203.0.113.9.", is_code=True, most=64),
    Input("minutes", "How long", "1 to 5,256,000 minutes, which is ten years.", "number", unit="minutes", most=9),
    Input("reason", "Reason", "For those who see the list.", is_needed=False, is_wide=True, most=200),
)


def read_minutes(text: str) -> int | None:
    """The length of a ban; None: it is none."""
    text = text.strip().replace(",", "")
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        return None
    return int(text) if 1 <= int(text) <= LONGEST else None
