"""TLS: what both sides of a connection need, made of the files of section [tls] and made anew when they change.

TLS 1.2 and 1.3 with forward secrecy and authenticated encryption alone (RFC 9325), which leaves out the cipher that
RFC 3261 §26.3.1 names. A connection keeps what it was made with; new ones get what was loaded last. Who a peer is, is
judged by `b2bua.transport.certificate`.
"""

import asyncio
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from conf.errors import InvalidSetting
from conf.settings import TLSSettings

log = structlog.get_logger()

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2; 1.3 has none that could be left out."""

LOOK: Final = 3.0
"""Seconds between two looks at the files; they are loaded when they have changed and then stood still for one."""

_EXPIRES_SOON: Final = 14 * 86_400.0

_CLIENTS: Final = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}

Signature = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """Our certificate, and the authorities by which those of others are judged.

    Args:
        settings: Section [tls].
        time_of_day: Gives seconds since 1970.
    """

    def __init__(self, settings: TLSSettings, time_of_day: Callable[[], float]) -> None:
        self._settings = settings
        self._time_of_day = time_of_day
        self._server: ssl.SSLContext | None = None
        self._clients: dict[bool, ssl.SSLContext] = {}
        self._signature: Signature = ()
        self._seen: Signature = ()
        self.expires_at: float | None = None
        """When our certificate ends, seconds since 1970; None: we have none."""

    @property
    def has_files(self) -> bool:
        """Whether there is anything that could change."""
        return bool(self._settings.certificate or self._settings.ca)

    @property
    def wildcards(self) -> bool:
        """Whether wildcards in certificates of others count."""
        return self._settings.wildcards

    @property
    def verify(self) -> str:
        """What a certificate has to show where nobody says more."""
        return self._settings.verify

    def open(self) -> None:
        """Load the files, for listeners.

        Raises:
            InvalidSetting: there is no certificate, or a file cannot be used.
        """
        if not self._settings.certificate:
            raise InvalidSetting("[sip] listen names tls:// or wss://, which need a certificate: set [tls] certificate")
        self.reload()

    def reload(self) -> None:
        """Load the files again; new connections get what is in them now, open ones stay as they are.

        Raises:
            InvalidSetting: a file cannot be used; everything stays as it was.
        """
        signature = self._look_at_files()
        server = self._make_server() if self._settings.certificate else None
        clients = {has_issuer: self._make_client(has_issuer) for has_issuer in (True, False)}
        self.expires_at = self._read_expiry() if self._settings.certificate else None
        self._server, self._clients = server, clients
        self._signature = self._seen = signature
        if server is not None:
            self._announce()

    def server(self) -> ssl.SSLContext:
        """For a connection that a peer has opened."""
        assert self._server is not None
        return self._server

    def client(self, verify: str) -> ssl.SSLContext:
        """For a connection that we open; the name in the peer's certificate is looked at afterwards.

        Raises:
            InvalidSetting: a file cannot be used.
        """
        if not self._clients:
            self.reload()
        return self._clients[verify != "none"]

    def look(self) -> bool:
        """Load the files again if they have changed and now stand still; returns whether they were loaded."""
        signature = self._look_at_files()
        is_still = signature == self._seen
        self._seen = signature
        if not self._clients or not is_still or signature == self._signature:
            return False
        try:
            self.reload()
        except InvalidSetting as error:
            self._signature = signature  # told once
            log.error("certificate is not loaded again, the one before stays", reason=str(error))
            return False
        return True

    async def watch(self) -> None:
        """Look now and then, for ever."""
        while True:
            await asyncio.sleep(LOOK)
            self.look()

    def _look_at_files(self) -> Signature:
        settings = self._settings
        return tuple(_signature(name) for name in (settings.certificate, settings.key, settings.ca) if name)

    def _make_server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._equip(context)
        context.verify_mode = _CLIENTS[self._settings.client]
        if context.verify_mode != ssl.CERT_NONE:
            self._load_authorities(context, ssl.Purpose.CLIENT_AUTH)
        return context

    def _make_client(self, has_issuer: bool) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False  # RFC 5922 has rules of its own
        self._equip(context)
        context.verify_mode = ssl.CERT_REQUIRED if has_issuer else ssl.CERT_NONE
        if has_issuer:
            self._load_authorities(context, ssl.Purpose.SERVER_AUTH)
        return context

    def _equip(self, context: ssl.SSLContext) -> None:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
        context.set_ciphers(CIPHERS)
        settings = self._settings
        if not settings.certificate:
            return
        try:
            # An encrypted key must not make OpenSSL ask at the terminal.
            context.load_cert_chain(settings.certificate, settings.key or None, password=lambda: "")
        except ssl.SSLError as error:
            files = f"{settings.certificate} and {settings.key}" if settings.key else settings.certificate
            raise InvalidSetting(f"[tls] certificate: {files}: {_pem_fault(error)}") from error
        except OSError as error:
            raise InvalidSetting(f"[tls] certificate: {_unreadable(settings)}: {error.strerror}") from error

    def _load_authorities(self, context: ssl.SSLContext, purpose: ssl.Purpose) -> None:
        authorities = self._settings.ca
        try:
            if authorities:
                context.load_verify_locations(authorities)
            else:
                context.load_default_certs(purpose)
        except ssl.SSLError as error:
            raise InvalidSetting(f"[tls] ca: {authorities}: {_pem_fault(error)}") from error
        except OSError as error:
            raise InvalidSetting(f"[tls] ca: {authorities}: {error.strerror}") from error

    def _read_expiry(self) -> float:
        from cryptography import x509

        try:
            certificate = x509.load_pem_x509_certificate(Path(self._settings.certificate).read_bytes())
        except (OSError, ValueError) as error:
            raise InvalidSetting(f"[tls] certificate: {self._settings.certificate}: {error}") from error
        return certificate.not_valid_after_utc.timestamp()

    def _announce(self) -> None:
        assert self.expires_at is not None
        file, ends = self._settings.certificate, datetime.fromtimestamp(self.expires_at, UTC).isoformat(" ", "minutes")
        left = self.expires_at - self._time_of_day()
        if left <= 0:
            log.error("certificate loaded, but it has expired: peers will refuse it", file=file, expires_at=ends)
        elif left < _EXPIRES_SOON:
            log.warning("certificate loaded, which expires soon", file=file, expires_at=ends)
        else:
            log.info("certificate loaded", file=file, expires_at=ends)


def _signature(name: str) -> tuple[int, int, int] | None:
    try:
        status = Path(name).stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _unreadable(settings: TLSSettings) -> str:
    """The first of both files that cannot be read: OpenSSL does not say which."""
    for name in (settings.certificate, settings.key):
        if name:
            try:
                with Path(name).open("rb"):
                    pass
            except OSError:
                return name
    return settings.certificate


def _pem_fault(error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    if error.reason in ("NO_START_LINE", "PEM_LIB", "NO_CERTIFICATE_OR_CRL_FOUND", None):
        return "no certificate, or no key that can be read without a password, in PEM form"
    return error.reason.replace("_", " ").lower()
