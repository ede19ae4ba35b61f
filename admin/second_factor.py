"""The second factor: codes of a telephone (RFC 6238: SHA-1, 30 s, 6 digits), and recovery codes for when it is lost.

The secret is kept encrypted, recovery codes as hashes. A sign-in between its two steps is a sealed note that the
browser carries, so that nothing is kept of those who never come back with a code.
"""

import hashlib
import secrets
from typing import Final

import pyotp

from admin.permissions import STAFF
from admin.stores.users import User
from conf.secret import UnreadableSecret, Vault
from conf.settings import Settings

ISSUER: Final = "softswitch"
"""What telephones show beside the login."""
STEP: Final = 30
"""Seconds that a code is for."""
DRIFT: Final = 1
"""Steps before and after the present one whose codes are taken: clocks differ, and people need time to type."""
CODES: Final = 10
"""Recovery codes that are made at a time; each works once."""
WAIT: Final = 300.0
"""Seconds between password and code."""

_NOTE: Final = "sign-in"
_ALPHABET: Final = "abcdefghjkmnpqrstuvwxyz23456789"


def make_secret() -> str:
    """A new secret of 160 bits, in base32."""
    return pyotp.random_base32()


def address(secret: str, login: str) -> str:
    """What the QR code holds."""
    return pyotp.TOTP(secret).provisioning_uri(name=login, issuer_name=ISSUER)


def matching_step(secret: str, code: str, now: float, after: int | None) -> int | None:
    """The step that a code is of, if it is a right one of now.

    Args:
        secret: In base32.
        code: As it was typed; spaces do not count.
        now: Seconds since 1970.
        after: The step of the last code that was taken: RFC 6238 §5.2 has none taken twice.
    """
    typed = code.replace(" ", "")
    otp, present = pyotp.TOTP(secret), int(now // STEP)
    found = None
    for step in range(present - DRIFT, present + DRIFT + 1):
        # All are compared, so that the answer takes as long.
        if secrets.compare_digest(otp.generate_otp(step).encode(), typed.encode()) and (after is None or step > after):
            found = step
    return found


def make_recovery_codes() -> list[str]:
    """Codes of 79 bits, in four groups of letters and digits that are not mistaken for one another."""
    return ["-".join("".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(4)) for _ in range(CODES)]


def hash_recovery_code(code: str) -> bytes:
    """What is kept of a code; dashes, spaces and capitals do not count."""
    return hashlib.sha256(code.strip().lower().replace("-", "").replace(" ", "").encode()).digest()


def seal_sign_in(vault: Vault, user_id: int, now: float) -> str:
    """A note that somebody gave the right password of a login."""
    return vault.seal(f"{_NOTE} {user_id} {int(now)}")


def open_sign_in(vault: Vault, note: str, now: float) -> int | None:
    """Whose note it is; None if it is none of ours, or too old."""
    try:
        parts = vault.open(note).split(" ")
    except UnreadableSecret:
        return None
    if len(parts) != 3 or parts[0] != _NOTE or not 0 <= now - int(parts[2]) <= WAIT:
        return None
    return int(parts[1])


def is_due(user: User, settings: Settings) -> bool:
    """Whether a login has to set up its second factor before it goes on."""
    return settings.panel.staff_second_factor and user.role in STAFF and not user.has_second_factor
