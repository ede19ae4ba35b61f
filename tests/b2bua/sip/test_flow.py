"""Flows."""

import pytest

from b2bua.sip.flow import DEFAULT_PORT, Flow


class TestFlow:
    """RFC 3261 §18."""

    @pytest.mark.parametrize(
        ("transport", "reliable"), [("udp", False), ("tcp", True), ("tls", True), ("ws", True), ("wss", True)]
    )
    def test_flow_is_reliable_unless_udp(self, transport: str, reliable: bool) -> None:
        assert Flow(transport, "192.0.2.1", 5060).reliable is reliable

    @pytest.mark.parametrize(("host", "address"), [("192.0.2.1", "192.0.2.1:5060"), ("::1", "[::1]:5060")])
    def test_address_has_brackets_when_ipv6(self, host: str, address: str) -> None:
        flow = Flow("udp", host, 5060)
        assert flow.address == address
        assert repr(flow) == f"udp:{address}"

    def test_ports_are_those_of_the_documents(self) -> None:
        assert (DEFAULT_PORT["udp"], DEFAULT_PORT["tcp"], DEFAULT_PORT["tls"]) == (5060, 5060, 5061)
