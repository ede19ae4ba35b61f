"""What a peer's certificate says, and what is wrong with it (RFC 5922 §7). Values in, values out.

Not here: the chain of issuers and its dates, which OpenSSL checks; the subject's common name, which nobody has to look
at any more (RFC 5922 §7.1).
"""

import ssl
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final

_EXPIRED: Final = 10
_FAULTS: Final = {
    9: "it is not valid yet",
    _EXPIRED: "it has expired",
    18: "it is self-signed and not trusted",
    19: "its issuer is not trusted",
    2: "its issuer is not trusted",
    20: "its issuer is not trusted",
    21: "its issuer is not trusted",
    23: "it was revoked",
    24: "its issuer may not issue certificates",
    26: "it was not made for this purpose",
}
"""By the codes of X509_verify_cert."""

_HANDSHAKE_FAULTS: Final = {
    "HTTP_REQUEST": "peer speaks HTTP, not TLS",
    "WRONG_VERSION_NUMBER": "peer does not speak TLS",
    "UNSUPPORTED_PROTOCOL": "peer offers no version from TLS 1.2 on",
    "NO_SHARED_CIPHER": "peer offers none of our ciphers",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "peer shows no certificate",
}


class CertificateRefused(Exception):
    """A peer's certificate does not show what it has to.

    Args:
        fault: What is wrong, as the end of a sentence that begins with `certificate refused:`.
    """

    def __init__(self, fault: str) -> None:
        super().__init__(f"certificate refused: {fault}")
        self.fault = fault


def chain_fault(error: ssl.SSLCertVerificationError) -> str:
    """What OpenSSL found wrong with a chain."""
    return _FAULTS.get(error.verify_code, error.verify_message)


def handshake_fault(error: BaseException) -> str:
    """Why a connection could not be made or is gone, in a few words; empty: nobody knows."""
    if isinstance(error, CertificateRefused):
        return str(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate refused: {chain_fault(error)}"
    if isinstance(error, ssl.SSLError) and error.reason:
        reason = error.reason
        if "ALERT_" in reason:
            return f"peer refused the TLS handshake: {reason.partition('ALERT_')[2].replace('_', ' ').lower()}"
        return _HANDSHAKE_FAULTS.get(reason, reason.replace("_", " ").lower())
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error)


def name_fault(certificate: Mapping[str, Any], name: str, *, wildcards: bool = False) -> str:
    """Why a certificate does not name a host or domain; empty: it does (RFC 5922 §7.2).

    Args:
        certificate: As `SSLSocket.getpeercert` gives it.
        name: Host name, domain or address that was asked for.
        wildcards: Whether `*.example.com` names every host right below example.com, which RFC 5922 forbids.
    """
    wanted = _normal(name)
    identities = _identities(certificate)
    if any(_is_same(identity, wanted, wildcards) for identity in identities):
        return ""
    if not identities:
        return f"it names nobody, not {name}"
    return f"it is for {', '.join(identities)}, not for {name}"


def _identities(certificate: Mapping[str, Any]) -> list[str]:
    names: list[tuple[str, str]] = list(certificate.get("subjectAltName", ()))
    addresses = [_normal(value) for kind, value in names if kind == "IP Address"]
    # RFC 5922 §7.1: names of hosts count only where no SIP domain is named.
    domains = [domain for kind, value in names if kind == "URI" and (domain := _sip_domain(value))]
    return addresses + (domains or [_normal(value) for kind, value in names if kind == "DNS"])


def _sip_domain(uri: str) -> str:
    scheme, _, rest = uri.partition(":")
    # One with a user is that user's, not the domain's.
    return "" if scheme.lower() != "sip" or "@" in rest else _normal(rest.partition(";")[0].partition("?")[0])


def _normal(name: str) -> str:
    name = name.strip().strip("[]")
    try:
        return str(ip_address(name))
    except ValueError:
        return name.rstrip(".").lower()


def _is_same(identity: str, wanted: str, wildcards: bool) -> bool:
    if identity == wanted:
        return True
    if not wildcards or not identity.startswith("*."):
        return False
    first, _, rest = wanted.partition(".")
    return bool(first) and rest == identity[2:] and "." in rest
