"""Calls over IPv6, on every transport (RFC 5118: brackets in URIs and Via, none in `received`)."""

import socket
from pathlib import Path

import pytest

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.sip.flow import Trust
from tests.b2bua.transport.test_tls import opened, reached
from tests.support.certificates import Authority
from tests.support.loops import on_both_loops


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no ::1")
class TestIPv6:
    @on_both_loops
    @pytest.mark.parametrize("host", ["::1", "::"])
    @pytest.mark.parametrize("transport", ["udp", "tcp", "tls", "ws", "wss"])
    async def test_call_is_set_up_and_ended_by_the_callee(self, tmp_path: Path, transport: str, host: str) -> None:
        authority = Authority(tmp_path)
        caller, answerer = Caller(host, transport=transport), Answerer(host, transport=transport)
        caller.tls = authority.settings("caller.example", file="caller.pem")
        answerer.tls = authority.settings("::1", file="answerer.pem")
        async with opened(caller, answerer):
            caller.call("100", "200", "::1", answerer.port, transport, trust=Trust("name", "::1"))
            await reached(caller.is_answered)
            await reached(answerer.is_answered)
            answerer.hang_up()
            await reached(caller.is_ended)
            (invite,) = answerer.invites
            assert invite.uri == f"sip:100@[::1]:{answerer.port}"
            via = invite.headers["via"][0]
            assert via.startswith(f"SIP/2.0/{transport.upper()} [::1]:{caller.port};")
            assert ";received=::1;" in f"{via};"
            assert invite.headers["contact"][0].startswith(f"<sip:[::1]:{caller.port}")

    @on_both_loops
    async def test_same_port_is_free_for_ipv4_when_all_of_ipv6_is_listened_on(self) -> None:
        for transport in ("udp", "tcp"):
            six = Answerer("::", transport=transport)
            async with opened(six):
                four = Answerer("0.0.0.0", six.port, transport)
                async with opened(four):
                    assert four.port == six.port
