"""TLS through the whole switch: a call while the certificate is renewed, and gateways whose certificate is not good."""

import asyncio
import ssl
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from socket import SOCK_STREAM

import pytest

from b2bua.agent.user_agent import Answerer, Caller, UserAgent
from b2bua.sip.flow import Trust
from tests.support.calls import SOURCE, agents, are_up, dial, until, within
from tests.support.certificates import Authority
from tests.support.servers import Run
from tests.support.switch import NUMBER, Switch, free_port, running_switch

HOST = "127.0.0.1"
RELOADED_WITHIN = 30.0
"""Seconds; two looks at the files are three apart."""


class Secure:
    """A switch with a listener and a gateway on TLS, and who issues the certificates that it trusts."""

    def __init__(self, switch: Switch, port: int, gateway_port: int, authority: Authority) -> None:
        self.switch = switch
        self.port = port
        self.gateway_port = gateway_port
        self.authority = authority

    def renew(self) -> None:
        """Another certificate of the switch's."""
        self.authority.issue(HOST, file="switch.pem")

    @property
    def loads(self) -> int:
        """How many times it has loaded one."""
        return self.switch.log().count("certificate loaded")

    async def shown(self) -> bytes:
        """The certificate that it shows to somebody who connects now."""
        context = ssl.create_default_context(cafile=str(self.authority.file))
        _, writer = await asyncio.open_connection(HOST, self.port, ssl=context, server_hostname=HOST)
        certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        writer.close()
        return bytes(certificate)

    def gateway(self) -> Answerer:
        """The gateway, with a certificate that is good."""
        gateway = Answerer(HOST, self.gateway_port, "tls")
        gateway.tls = self.authority.settings(HOST, file="gateway.pem")
        return gateway

    def code_of(self, caller: UserAgent) -> tuple[str, str, str]:
        """Of the first attempt of a call: its code, who ended it, and why."""
        assert caller.leg is not None
        assert caller.leg.dialog is not None
        where = f"a_call_id = '{caller.leg.dialog.call_id}' AND attempt = 1"
        (record,) = self.switch.wait_for_records(1, where)
        return record["code"], record["ended_by"], record["reason"]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    port, gateway_port = free_port(), free_port(SOCK_STREAM)
    own = authority.issue(HOST, file="switch.pem")
    with running_switch(
        SOFTSWITCH_SIP__LISTEN=f"udp://{HOST}:{port},tls://{HOST}:{port}",
        SOFTSWITCH_TLS__CERTIFICATE=str(own),
        SOFTSWITCH_TLS__CA=str(authority.file),
    ) as switch:
        switch.port = port
        switch.command("gateway", "set", "demo-a", "--transport", "tls", "--port", str(gateway_port))
        switch.wait_for_configuration()
        yield Secure(switch, port, gateway_port, authority)


class TestReload:
    def test_call_stays_up_on_both_legs_and_ends_right_when_the_certificate_is_renewed(
        self, secure: Secure, run: Run
    ) -> None:
        switch, caller, gateway = secure.switch, Caller(transport="tls"), secure.gateway()
        caller.tls = secure.authority.settings("caller.example", file="caller.pem")

        async def call() -> None:
            async with agents(caller, gateway):
                before, loads = await secure.shown(), secure.loads
                caller.call(NUMBER, SOURCE, HOST, secure.port, "tls", trust=Trust("name", HOST))
                await are_up(caller, gateway)
                secure.renew()
                async with asyncio.timeout(RELOADED_WITHIN):
                    while secure.loads == loads:  # noqa: ASYNC110 - a log has no event
                        await asyncio.sleep(0.1)
                assert await secure.shown() != before
                assert switch.ask("ping")["calls"] == 1
                assert not caller.is_ended.is_set()
                gateway.hang_up()
                await within(caller.is_ended)
                assert caller.endpoint.connections == gateway.endpoint.connections == 1
                await until(lambda: switch.ask("ping")["calls"] == 0)

        run(call())
        assert secure.code_of(caller) == ("ANSWERED", "callee", "")


def wrong(secure: Secure, gateway: Answerer, _: Path) -> None:
    gateway.tls = secure.authority.settings("sip.other.example", file="wrong.pem")


def expired(secure: Secure, gateway: Answerer, _: Path) -> None:
    gateway.tls = secure.authority.settings(HOST, file="expired.pem", ends=timedelta(days=-1))


def untrusted(_: Secure, gateway: Answerer, directory: Path) -> None:
    gateway.tls = Authority(directory, "stranger").settings(HOST, file="untrusted.pem")


class TestRefused:
    @pytest.mark.parametrize(
        ("spoil", "fault"),
        [
            (wrong, f"it is for sip.other.example, not for {HOST}"),
            (expired, "it has expired"),
            (untrusted, "its issuer is not trusted"),
        ],
    )
    def test_gateway_is_not_called_and_the_log_says_why(
        self, secure: Secure, run: Run, tmp_path: Path, spoil: Callable[[Secure, Answerer, Path], None], fault: str
    ) -> None:
        switch, caller, gateway = secure.switch, Caller(), secure.gateway()
        spoil(secure, gateway, tmp_path)
        logged = len(switch.log())

        async def call() -> None:
            async with agents(caller, gateway):
                dial(caller, switch)
                await until(lambda: "certificate refused" in switch.log()[logged:])
                caller.cancel()  # it waits for the other gateway, which is not there
                await until(lambda: switch.ask("ping")["calls"] == 0)

        run(call())
        assert gateway.invites == []
        (line,) = [line for line in switch.log()[logged:].splitlines() if "certificate refused" in line]
        assert fault in line
        assert f"tls:{HOST}:{secure.gateway_port}" in line
        assert secure.code_of(caller)[0] == "TRANSPORT_FAILURE"
