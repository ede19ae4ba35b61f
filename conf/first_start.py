"""What is done once, when a system is started for the first time: the realm is fixed, the first administrator made."""

import secrets
from typing import TYPE_CHECKING, Final

import structlog
from argon2 import PasswordHasher

from conf.settings import Settings

if TYPE_CHECKING:
    from conf.migrate import Connection

log = structlog.get_logger()

ADMINISTRATOR: Final = "admin"

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789"
"""Letters and digits that are not mistaken for one another."""

_PASSWORD_LENGTH: Final = 16


async def fix_realm(connection: "Connection", settings: Settings) -> str:
    """Write the digest realm at the first start, and return the realm in force.

    Secrets of SIP users are kept as H(A1), in which the realm is contained: it cannot be changed later.
    """
    await connection.execute(
        "INSERT INTO system_value (name, value) VALUES ('realm', $1) ON CONFLICT (name) DO NOTHING", settings.sip.realm
    )
    realm = str(await connection.fetchval("SELECT value FROM system_value WHERE name = 'realm'"))
    if realm != settings.sip.realm:
        log.warning("sip.realm differs from the realm fixed at the first start", used=realm, ignored=settings.sip.realm)
    return realm


def make_password() -> str:
    """A password for one sign-in, of 92 bits: whoever gets it has to choose another."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_PASSWORD_LENGTH))


async def make_administrator(connection: "Connection") -> str | None:
    """Make the panel user `admin` if there is no panel user, and return its password, which is kept nowhere else.

    Returns:
        The password, to be shown once; None when there are users already.
    """
    if await connection.fetchval("SELECT EXISTS (SELECT FROM panel_user)"):
        return None
    password = make_password()
    made = await connection.fetchval(
        "INSERT INTO panel_user (login, password_hash, role, must_change_password) "
        "VALUES ($1, $2, 'administrator', true) ON CONFLICT (login) DO NOTHING RETURNING id",
        ADMINISTRATOR,
        PasswordHasher().hash(password),
    )
    return password if made else None
