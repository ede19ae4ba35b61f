"""The system's secret: a key file of mode 0600 in the data directory, from which every other key is derived."""

import hmac
import os
import secrets
from pathlib import Path

from conf.errors import ConfigurationError
from conf.settings import Settings


class UnreadableSecret(ConfigurationError):
    """The key file is missing its content, or others may read it."""


def load_secret(settings: Settings) -> bytes:
    """The system's secret, made at the first call.

    Raises:
        UnreadableSecret: the file is damaged, or its mode lets others read it.
    """
    path: Path = settings.system.path / "secret.key"
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Linked into place whole, so that two processes that start at once agree on one.
        partial = path.with_name(f"secret.{os.getpid()}")
        partial.unlink(missing_ok=True)  # of a process of the same number that was broken off
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, secrets.token_hex(32).encode())
            os.fsync(descriptor)
            os.link(partial, path)
        finally:
            os.close(descriptor)
            partial.unlink()
    except FileExistsError:
        pass
    if path.stat().st_mode & 0o077:
        raise UnreadableSecret(f"{path} may be read by others: its mode must be 0600")
    secret = path.read_bytes().strip()
    if len(secret) < 32:
        raise UnreadableSecret(f"{path} is damaged: restore it from a backup")
    return secret


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key for one purpose."""
    return hmac.digest(secret, purpose.encode(), "sha256")
