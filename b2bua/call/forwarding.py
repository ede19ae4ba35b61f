"""Calls that our calls lead to, as a DID that is forwarded does: sent to ourselves, signed (docs/behaviour.md §8)."""

import hashlib
import hmac
from typing import Final

HEADER: Final = "p-softswitch-forward"
"""Header of our own; nothing that another sends us can carry a valid one, and none leaves us for anybody else."""

LIFETIME: Final = 30
"""Seconds that a signature holds."""


class ForwardSigner:
    """Signs that a call is made for an account, and tells its own signature.

    Args:
        key: Shared by all workers.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, account_id: int, number: str, now: float) -> str:
        """The header's value for a call to a number."""
        expires = int(now) + LIFETIME
        return f"{account_id};{expires};{self._mac(account_id, number, expires)}"

    def account_of(self, value: str, number: str, now: float) -> int | None:
        """The account that a header names, or None where it is not ours, of another number, or old."""
        parts = value.split(";")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts[:2]):
            return None
        account_id, expires = int(parts[0]), int(parts[1])
        if not hmac.compare_digest(_bytes(parts[2]), self._mac(account_id, number, expires).encode()):
            return None
        return account_id if now <= expires else None

    def _mac(self, account_id: int, number: str, expires: int) -> str:
        return hmac.new(self._key, _bytes(f"{account_id};{number};{expires}"), hashlib.sha256).hexdigest()


def _bytes(text: str) -> bytes:
    # What others send need not be UTF-8.
    return text.encode("utf-8", "surrogateescape")
