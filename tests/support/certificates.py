"""Certificates made for a test: an authority and what it issues, as PEM files."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from conf.settings import TLSSettings

Key = ec.EllipticCurvePrivateKey


class Authority:
    """Issues certificates into a directory.

    Args:
        directory: Where files go.
        name: Of the authority; its own certificate is `<name>.pem`.
    """

    def __init__(self, directory: Path, name: str = "authority") -> None:
        self._directory = directory
        self._key: Key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = _builder(self._name, self._name, self._key, timedelta(days=30)).add_extension(
            x509.BasicConstraints(ca=True, path_length=None), critical=True
        )
        self.file = directory / f"{name}.pem"
        self.file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        *names: str,
        file: str = "peer.pem",
        uris: Iterable[str] = (),
        ends: timedelta = timedelta(days=20),
    ) -> Path:
        """Write a certificate and its key into one file.

        Args:
            names: Host names and addresses that it is for.
            file: Name of the file.
            uris: URIs that it is for.
            ends: When it ends, from now; in the past for one that has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "softswitch test")])
        others: list[x509.GeneralName] = [_general_name(name) for name in names]
        others += [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = _builder(subject, self._name, key, ends)
        if others:
            builder = builder.add_extension(x509.SubjectAlternativeName(others), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = self._directory / file
        path.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    def spoil(self, file: str) -> None:
        """Put something else into a file that was issued."""
        (self._directory / file).write_text("rubbish")

    def settings(self, *names: str, file: str = "peer.pem", client: str = "none", **how: Any) -> TLSSettings:
        """Section [tls] of somebody who has such a certificate and trusts this authority."""
        path = self.issue(*names, file=file, **how)
        return TLSSettings(certificate=str(path), ca=str(self.file), client=client)


def _builder(subject: x509.Name, issuer: x509.Name, key: Key, ends: timedelta) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + ends)
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        address: IPv4Address | IPv6Address = ip_address(name)
    except ValueError:
        return x509.DNSName(name)
    return x509.IPAddress(address)
