"""The system's secret: a key file of mode 0600 in the data directory, from which every other key is derived.

Secrets that must be read back, such as those of carriers, are kept in the database encrypted with a key of it.
"""

import base64
import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from conf.errors import ConfigurationError
from conf.settings import Settings

CARRIERS: Final = "carriers"
"""Purpose of the key that secrets of gateways are encrypted with."""
PANEL: Final = "panel"
"""Of that for the panel: secrets of second factors, and sign-ins that wait for one."""

_VERSION: Final = "1."
_NONCE_SIZE: Final = 12


class UnreadableSecret(ConfigurationError):
    """The key file is missing its content, or others may read it; or what was encrypted is not for this key."""


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


class Vault:
    """Encrypts short texts (AES-256-GCM, NIST SP 800-38D) and reads them back.

    Args:
        secret: The system's.
        purpose: What they are for: a text of one purpose cannot be read as one of another.
    """

    def __init__(self, secret: bytes, purpose: str) -> None:
        # Programs that encrypt nothing need not wait for it.
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._purpose = purpose.encode()
        self._cipher = AESGCM(derive_key(secret, f"vault {purpose}"))

    def seal(self, text: str) -> str:
        """Encrypt; the same text looks different each time."""
        nonce = os.urandom(_NONCE_SIZE)
        return _VERSION + base64.b64encode(nonce + self._cipher.encrypt(nonce, text.encode(), self._purpose)).decode()

    def open(self, sealed: str) -> str:
        """Decrypt.

        Raises:
            UnreadableSecret: it was encrypted with another key file or for another purpose, or was changed.
        """
        from cryptography.exceptions import InvalidTag

        try:
            if not sealed.startswith(_VERSION):
                raise ValueError(sealed[: len(_VERSION)])
            text = sealed.removeprefix(_VERSION)
            data = base64.b64decode(text, validate=True)
            if base64.b64encode(data).decode() != text:
                raise ValueError  # the last letter has bits that nothing else would miss
            return self._cipher.decrypt(data[:_NONCE_SIZE], data[_NONCE_SIZE:], self._purpose).decode()
        except (ValueError, InvalidTag):
            raise UnreadableSecret("a secret in the database was not encrypted with this system's secret.key") from None
