"""The argon2 hashes of passwords; the rule for new ones is in `accounts.field`.

A hash takes some 50 ms and 64 MiB, so it is worked out in a thread, a few at a time, and a crowd is turned away.
"""

import asyncio
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE: Final = 2
"""Hashes worked out at the same time; each holds 64 MiB."""
WAITING: Final = 40
"""Most sign-ins that wait for one."""


class TooManySignIns(Exception):
    """More sign-ins at once than the panel answers."""


class Passwords:
    """Makes and checks hashes."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0
        # Checked for logins that do not exist, so that their answer takes as long.
        self._nobody = self._hasher.hash("nobody")

    async def hash(self, password: str) -> str:
        """Hash a password with a new salt."""
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, password)

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether the password is that of the hash; without a hash False, after the same time.

        Raises:
            TooManySignIns: too many checks are waiting already.
        """
        if self._waiting >= WAITING:
            raise TooManySignIns
        self._waiting += 1
        try:
            async with self._slots:
                right = await asyncio.to_thread(self._matches, password_hash or self._nobody, password[:200])
        finally:
            self._waiting -= 1
        return right and password_hash is not None

    def _matches(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
