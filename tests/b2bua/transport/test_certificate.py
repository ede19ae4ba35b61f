"""Whom a certificate names, and what is wrong with one (RFC 5922 §7)."""

import ssl
from typing import Any

import pytest

from b2bua.transport.certificate import CertificateRefused, chain_fault, handshake_fault, name_fault


def certificate(*names: str, uris: tuple[str, ...] = (), addresses: tuple[str, ...] = ()) -> dict[str, Any]:
    """As `SSLSocket.getpeercert` gives it."""
    others = [("DNS", name) for name in names]
    others += [("URI", uri) for uri in uris]
    others += [("IP Address", address) for address in addresses]
    return {"subject": ((("commonName", "carrier.example"),),), "subjectAltName": tuple(others)}


class TestName:
    """RFC 5922 §7.1, §7.2."""

    @pytest.mark.parametrize("name", ["sip.carrier.example", "SIP.Carrier.Example", "sip.carrier.example."])
    def test_host_is_named_in_any_case(self, name: str) -> None:
        assert name_fault(certificate("other.example", "sip.carrier.EXAMPLE"), name) == ""

    def test_domain_is_named_by_a_uri(self) -> None:
        assert name_fault(certificate(uris=("sip:carrier.example",)), "carrier.example") == ""

    def test_hosts_count_for_nothing_when_a_domain_is_named(self) -> None:
        both = certificate("sip.carrier.example", uris=("sip:carrier.example",))
        assert name_fault(both, "sip.carrier.example") == "it is for carrier.example, not for sip.carrier.example"

    @pytest.mark.parametrize("uri", ["sip:alice@carrier.example", "sips:carrier.example", "https://carrier.example"])
    def test_uri_names_no_domain_when_it_is_a_users_or_of_another_scheme(self, uri: str) -> None:
        assert name_fault(certificate(uris=(uri,)), "carrier.example") == "it names nobody, not carrier.example"
        assert name_fault(certificate("carrier.example", uris=(uri,)), "carrier.example") == ""

    def test_common_name_counts_for_nothing(self) -> None:
        assert (
            name_fault({"subject": ((("commonName", "a.example"),),)}, "a.example") == "it names nobody, not a.example"
        )

    @pytest.mark.parametrize(("address", "name"), [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1")])
    def test_address_is_named(self, address: str, name: str) -> None:
        assert name_fault(certificate(addresses=(address,)), name) == ""
        assert name_fault(certificate(addresses=(address,)), f"[{name}]") == ""
        assert name_fault(certificate(addresses=(address,)), "192.0.2.2").startswith("it is for ")

    def test_wildcard_names_nobody(self) -> None:
        assert name_fault(certificate("*.carrier.example"), "sip.carrier.example")

    @pytest.mark.parametrize(
        ("name", "is_named"),
        [
            ("sip.carrier.example", True),
            ("carrier.example", False),
            ("a.sip.carrier.example", False),
            (".example", False),
        ],
    )
    def test_wildcard_names_hosts_right_below_when_it_may(self, name: str, is_named: bool) -> None:
        assert (name_fault(certificate("*.carrier.example"), name, wildcards=True) == "") is is_named

    def test_wildcard_of_a_top_level_domain_names_nobody(self) -> None:
        assert name_fault(certificate("*.example"), "carrier.example", wildcards=True)


class TestFaults:
    @pytest.mark.parametrize(
        ("code", "text"),
        [
            (10, "it has expired"),
            (9, "it is not valid yet"),
            (20, "its issuer is not trusted"),
            (99, "as OpenSSL says"),
        ],
    )
    def test_fault_of_a_chain_is_named(self, code: int, text: str) -> None:
        error = ssl.SSLCertVerificationError()
        error.verify_code, error.verify_message = code, "as OpenSSL says"
        assert chain_fault(error) == text
        assert handshake_fault(error) == f"certificate refused: {text}"

    @pytest.mark.parametrize(
        ("reason", "text"),
        [
            ("TLSV1_ALERT_UNKNOWN_CA", "peer refused the TLS handshake: unknown ca"),
            ("TLSV13_ALERT_CERTIFICATE_REQUIRED", "peer refused the TLS handshake: certificate required"),
            ("UNSUPPORTED_PROTOCOL", "peer offers no version from TLS 1.2 on"),
            ("HTTP_REQUEST", "peer speaks HTTP, not TLS"),
            ("BAD_SIGNATURE", "bad signature"),
        ],
    )
    def test_fault_of_a_handshake_is_named(self, reason: str, text: str) -> None:
        error = ssl.SSLError()
        error.reason = reason
        assert handshake_fault(error) == text

    def test_other_faults_speak_for_themselves(self) -> None:
        assert handshake_fault(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
        assert handshake_fault(CertificateRefused("it has expired")) == "certificate refused: it has expired"
        assert handshake_fault(TimeoutError()) == ""
        assert handshake_fault(ValueError("x")) == "x"
