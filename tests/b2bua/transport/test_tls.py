"""TLS on real sockets: user agents call each other, and everything that has to be refused is (RFC 5246, 8446, 5922)."""

import asyncio
import ssl
import time
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from b2bua.agent.user_agent import Answerer, Caller, UserAgent
from b2bua.sip.flow import Trust
from b2bua.tasks import stop_all
from b2bua.transport.endpoint import Endpoint
from b2bua.transport.tls import Certificates
from conf.errors import InvalidSetting
from conf.settings import SIPSettings, TLSSettings
from tests.support import sip
from tests.support.certificates import Authority
from tests.support.loops import on_both_loops

PATIENCE = 5.0
NAME = "sip.carrier.example"
OPTIONS = sip.request("OPTIONS", transport="TLS")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def opened(*agents: UserAgent) -> AsyncIterator[None]:
    try:
        for agent in agents:
            await agent.open()
        yield
    finally:
        for agent in agents:
            agent.close()
        await stop_all()


def make(authority: Authority, *names: str, **how: Any) -> tuple[Caller, Answerer]:
    """A caller, and somebody to call whose certificate is for these names."""
    caller, answerer = Caller(transport="tls"), Answerer(transport="tls")
    caller.tls = authority.settings("caller.example", file="caller.pem")
    answerer.tls = authority.settings(*(names or (NAME,)), file="answerer.pem", **how)
    return caller, answerer


async def reached(event: asyncio.Event) -> None:
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def dial(caller: Caller, answerer: Answerer, verify: str = "name", name: str = NAME) -> None:
    caller.call("100", "200", "127.0.0.1", answerer.port, "tls", trust=Trust(verify, name))
    ended, answered = caller.is_ended.wait(), caller.is_answered.wait()
    tasks = [asyncio.ensure_future(each) for each in (ended, answered)]  # noqa: TID251 - cancelled below
    done, _ = await asyncio.wait(tasks, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    assert done


def told(logs: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


class TestCall:
    @on_both_loops
    @pytest.mark.parametrize(("verify", "name"), [("name", NAME), ("chain", "another.example"), ("none", "")])
    async def test_call_is_set_up_and_ended_when_the_certificate_is_good_enough(
        self, authority: Authority, verify: str, name: str
    ) -> None:
        caller, answerer = make(authority)
        async with opened(caller, answerer):
            await dial(caller, answerer, verify, name)
            assert caller.is_answered.is_set()
            await reached(answerer.is_answered)
            caller.hang_up()
            await reached(answerer.is_ended)
            (invite,) = answerer.invites
            here = f"127.0.0.1:{caller.port}"
            assert invite.headers["via"][0].startswith(f"SIP/2.0/TLS {here};")
            assert invite.headers["contact"] == [f"<sip:{here};transport=tls>"]
            # One connection served all of it.
            assert (caller.endpoint.connections, answerer.endpoint.connections) == (1, 1)

    @on_both_loops
    async def test_callee_ends_the_call_on_the_callers_connection(self, authority: Authority) -> None:
        # RFC 5923: the caller shows no certificate, and so could not be connected to; it need not be.
        caller, answerer = make(authority)
        async with opened(caller, answerer):
            await dial(caller, answerer)
            await reached(answerer.is_answered)
            answerer.hang_up()
            await reached(caller.is_ended)
            assert caller.endpoint.connections == 1

    @on_both_loops
    async def test_connection_is_used_again_only_for_what_demands_the_same(self, authority: Authority) -> None:
        caller, answerer = make(authority)
        async with opened(caller, answerer):
            for verify, connections in (("none", 1), ("none", 1), ("name", 2)):
                caller.is_answered.clear()
                await dial(caller, answerer, verify)
                assert caller.is_answered.is_set()
                assert caller.endpoint.connections == connections


class TestAlias:
    """RFC 5923 §5, §7: who connects offers its connection for requests to the port that its Via names."""

    @on_both_loops
    @pytest.mark.parametrize(
        ("client", "trust", "is_reused"),
        [
            ("required", Trust("name", "caller.example"), True),
            ("required", Trust("chain", ""), True),
            ("required", Trust("name", "another.example"), False),
            ("none", Trust("name", "caller.example"), False),
        ],
    )
    async def test_connection_is_used_when_its_certificate_shows_what_is_asked(
        self, authority: Authority, client: str, trust: Trust, is_reused: bool
    ) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME, file="answerer.pem", client=client)
        path = authority.issue("caller.example", file="caller.pem")
        context = ssl.create_default_context(cafile=str(authority.file))
        context.load_cert_chain(path)
        offer = sip.request("OPTIONS", transport="TLS", sent_by="127.0.0.1:1;alias")
        async with opened(answerer), asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", answerer.port, ssl=context, server_hostname=NAME
            )
            writer.write(offer)
            await reader.readuntil(b"\r\n\r\n")
            flow = answerer.endpoint.flow_to("tls", "127.0.0.1", 1, trust=trust)
            assert flow is not None
            answerer.endpoint.transactions.send_request(sip.our_request("OPTIONS"), flow, answerer.endpoint.now(), None)
            answerer.endpoint.end_of_turn()
            if is_reused:
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"OPTIONS ")
            assert bool(answerer.endpoint._pool._waiting) is not is_reused
            writer.close()


class TestRefused:
    """A transport failure, and one line that names the peer and the fault."""

    async def check(self, caller: Caller, answerer: Answerer, fault: str, name: str = NAME) -> None:
        async with opened(caller, answerer):
            with capture_logs() as logs:
                await dial(caller, answerer, name=name)
            assert not caller.is_answered.is_set()
            assert answerer.invites == []
            (line,) = told(logs, "certificate refused")
            assert line["fault"] == fault
            assert (line["peer"], line["name"]) == (f"tls:127.0.0.1:{answerer.port}", name)
            assert line["log_level"] == "warning"
            assert caller.endpoint.connections == 0

    @on_both_loops
    async def test_call_fails_when_the_certificate_is_for_somebody_else(self, authority: Authority) -> None:
        caller, answerer = make(authority, "sip.other.example")
        await self.check(caller, answerer, f"it is for sip.other.example, not for {NAME}")

    @on_both_loops
    async def test_call_fails_when_the_certificate_is_for_an_address_of_another_name(
        self, authority: Authority
    ) -> None:
        caller, answerer = make(authority)
        await self.check(caller, answerer, f"it is for {NAME}, not for 127.0.0.1", name="127.0.0.1")

    @on_both_loops
    async def test_call_fails_when_the_certificate_has_expired(self, authority: Authority) -> None:
        caller, answerer = make(authority, ends=timedelta(days=-1))
        await self.check(caller, answerer, "it has expired")

    @on_both_loops
    async def test_call_fails_when_the_issuer_is_not_trusted(self, authority: Authority, tmp_path: Path) -> None:
        caller, answerer = make(authority)
        answerer.tls = Authority(tmp_path, "stranger").settings(NAME, file="stranger-peer.pem")
        await self.check(caller, answerer, "its issuer is not trusted")

    @on_both_loops
    async def test_call_fails_when_the_peer_speaks_no_tls(self, authority: Authority) -> None:
        caller, _ = make(authority)
        answerer = Answerer(transport="tcp")
        async with opened(caller, answerer):
            with capture_logs() as logs:
                caller.call("100", "200", "127.0.0.1", answerer.port, "tls", trust=Trust("none", ""))
                await reached(caller.is_ended)
            assert told(logs, "certificate refused") == []

    @on_both_loops
    async def test_gateway_without_a_trust_of_its_own_gets_that_of_the_settings(self, authority: Authority) -> None:
        caller, answerer = make(authority, "127.0.0.1")
        async with opened(caller, answerer):
            caller.call("100", "200", "127.0.0.1", answerer.port, "tls")
            await reached(caller.is_answered)


class TestClients:
    """What is asked of those who connect to us."""

    @on_both_loops
    @pytest.mark.parametrize("client", ["optional", "required"])
    async def test_client_is_served_when_its_certificate_is_good(self, authority: Authority, client: str) -> None:
        caller, answerer = make(authority)
        answerer.tls = authority.settings(NAME, file="answerer.pem", client=client)
        async with opened(caller, answerer):
            await dial(caller, answerer)
            assert caller.is_answered.is_set()

    @on_both_loops
    @pytest.mark.parametrize(
        ("days", "is_stranger", "fault"),
        [(-1, False, "it has expired"), (20, True, "its issuer is not trusted")],
    )
    async def test_client_is_refused_when_its_certificate_is_not(
        self, authority: Authority, tmp_path: Path, days: int, is_stranger: bool, fault: str
    ) -> None:
        caller, answerer = make(authority)
        issuer = Authority(tmp_path, "stranger") if is_stranger else authority
        path = issuer.issue("caller.example", file="bad.pem", ends=timedelta(days=days))
        caller.tls = TLSSettings(certificate=str(path), ca=str(authority.file))
        answerer.tls = authority.settings(NAME, file="answerer.pem", client="required")
        async with opened(caller, answerer):
            with capture_logs() as logs:
                await dial(caller, answerer)
                async with asyncio.timeout(PATIENCE):
                    while not told(logs, "certificate of a client refused"):  # noqa: ASYNC110 - a log has no event
                        await asyncio.sleep(0.01)
            assert not caller.is_answered.is_set()
            (line,) = told(logs, "certificate of a client refused")
            assert line["fault"] == fault
            assert line["peer"].startswith("tls:127.0.0.1:")
            assert answerer.endpoint.connections == 0

    @on_both_loops
    async def test_client_is_refused_when_it_shows_none_though_it_must(self, authority: Authority) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME, client="required")
        async with opened(answerer):
            context = ssl.create_default_context(cafile=str(authority.file))
            with capture_logs() as logs:
                assert await served(answerer.port, context) == b""
            (line,) = told(logs, "TLS handshake failed")
            assert line["fault"] == "peer shows no certificate"

    @on_both_loops
    async def test_client_of_an_old_version_is_refused(self, authority: Authority) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        async with opened(answerer):
            with capture_logs() as logs:
                assert await served(answerer.port, context) == b""
            (line,) = told(logs, "TLS handshake failed")
            assert line["fault"] == "peer offers no version from TLS 1.2 on"

    @on_both_loops
    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    async def test_client_is_served_on_both_versions_with_forward_secrecy(
        self, authority: Authority, version: ssl.TLSVersion
    ) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME)
        context = ssl.create_default_context(cafile=str(authority.file))
        context.minimum_version = context.maximum_version = version
        async with opened(answerer):
            assert (await served(answerer.port, context)).startswith(b"SIP/2.0 200 ")

    @on_both_loops
    async def test_same_fault_of_one_peer_is_told_once(self, authority: Authority) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME)
        async with opened(answerer):
            with capture_logs() as logs:
                for _ in range(3):
                    reader, writer = await asyncio.open_connection("127.0.0.1", answerer.port)
                    writer.write(b"GET / HTTP/1.1\r\n\r\n")
                    async with asyncio.timeout(PATIENCE):
                        await reader.read()
                    writer.close()
            (line,) = told(logs, "TLS handshake failed")
            assert line["fault"] == "peer speaks HTTP, not TLS"

    @on_both_loops
    async def test_connection_is_closed_before_the_handshake_when_its_source_is_banned(
        self, authority: Authority
    ) -> None:
        answerer = Answerer(transport="tls")
        answerer.tls = authority.settings(NAME)
        async with opened(answerer):
            answerer.endpoint.is_banned = lambda host, now: host == "127.0.0.1"
            reader, writer = await asyncio.open_connection("127.0.0.1", answerer.port)
            async with asyncio.timeout(PATIENCE):
                assert await ended(reader) == b""
            writer.close()
            assert (answerer.endpoint.banned, answerer.endpoint.connections) == (1, 0)


async def ended(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except OSError:
        return b""


async def served(port: int, context: ssl.SSLContext) -> bytes:
    """The answer to an OPTIONS, as a client sees it; empty where TLS fails."""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
            writer.write(OPTIONS)
            answer = await reader.read(4096)
    except OSError:
        return b""
    writer.close()
    return answer


async def shown(port: int, authority: Authority) -> int:
    """Serial number of the certificate that a listener shows."""
    context = ssl.create_default_context(cafile=str(authority.file))
    async with asyncio.timeout(PATIENCE):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=NAME)
    certificate = writer.get_extra_info("ssl_object").getpeercert()
    writer.close()
    return int(certificate["serialNumber"], 16)


class TestReload:
    @on_both_loops
    async def test_new_connections_get_the_new_certificate_and_an_open_call_stays(self, authority: Authority) -> None:
        caller, answerer = make(authority)
        async with opened(caller, answerer):
            await dial(caller, answerer)
            await reached(answerer.is_answered)
            before = await shown(answerer.port, authority)
            authority.issue(NAME, file="answerer.pem")
            certificates = answerer.endpoint.certificates
            # The file may still be written to: it is loaded when it has stood still between two looks.
            assert not certificates.look()
            assert certificates.look()
            assert not certificates.look()
            assert await shown(answerer.port, authority) != before
            caller.hang_up()
            await reached(answerer.is_ended)
            assert caller.endpoint.connections == 1

    @on_both_loops
    async def test_certificate_before_stays_when_the_new_one_cannot_be_used(self, authority: Authority) -> None:
        _, answerer = make(authority)
        async with opened(answerer):
            before = await shown(answerer.port, authority)
            authority.spoil("answerer.pem")
            with capture_logs() as logs:
                assert [answerer.endpoint.certificates.look() for _ in range(4)] == [False] * 4
            (line,) = told(logs, "certificate is not loaded again, the one before stays")
            assert line["reason"].startswith(f"[tls] certificate: {answerer.tls.certificate}: ")
            assert await shown(answerer.port, authority) == before
            with pytest.raises(InvalidSetting):
                answerer.endpoint.certificates.reload()
            authority.issue(NAME, file="answerer.pem")
            answerer.endpoint.certificates.reload()
            assert await shown(answerer.port, authority) != before


class TestFiles:
    def load(self, settings: TLSSettings) -> None:
        Certificates(settings, time.time).open()

    def test_listener_needs_a_certificate(self) -> None:
        with pytest.raises(InvalidSetting, match=r"need a certificate: set \[tls\] certificate"):
            self.load(TLSSettings())

    @on_both_loops
    async def test_endpoint_is_not_opened_without_one(self) -> None:
        with pytest.raises(InvalidSetting):
            await Endpoint(SIPSettings(listen=("wss://127.0.0.1:0",)), UserAgent()).open()

    def test_file_is_named_when_it_cannot_be_read(self, authority: Authority, tmp_path: Path) -> None:
        certificate = authority.issue(NAME)
        missing = tmp_path / "missing.pem"
        with pytest.raises(InvalidSetting, match=r"missing\.pem: No such file"):
            self.load(TLSSettings(certificate=str(missing)))
        with pytest.raises(InvalidSetting, match=r"missing\.pem: No such file"):
            self.load(TLSSettings(certificate=str(certificate), key=str(missing)))
        with pytest.raises(InvalidSetting, match=r"\[tls\] ca: .*missing\.pem: No such file"):
            self.load(TLSSettings(certificate=str(certificate), ca=str(missing)))

    def test_fault_is_named_when_a_file_is_not_what_it_should_be(self, authority: Authority, tmp_path: Path) -> None:
        certificate, other = authority.issue(NAME), authority.issue(NAME, file="other.pem")
        rubbish = tmp_path / "rubbish.pem"
        rubbish.write_text("rubbish")
        with pytest.raises(InvalidSetting, match="the key does not belong to the certificate"):
            self.load(TLSSettings(certificate=str(certificate), key=str(other)))
        with pytest.raises(InvalidSetting, match="no certificate, or no key"):
            self.load(TLSSettings(certificate=str(authority.file)))
        with pytest.raises(InvalidSetting, match=r"\[tls\] ca: .*rubbish\.pem"):
            self.load(TLSSettings(certificate=str(certificate), ca=str(rubbish)))

    @pytest.mark.parametrize(
        ("ends", "event"),
        [
            (timedelta(days=30), "certificate loaded"),
            (timedelta(days=3), "certificate loaded, which expires soon"),
            (timedelta(days=-3), "certificate loaded, but it has expired: peers will refuse it"),
        ],
    )
    def test_log_tells_when_our_own_ends(self, authority: Authority, ends: timedelta, event: str) -> None:
        certificates = Certificates(TLSSettings(certificate=str(authority.issue(NAME, ends=ends))), time.time)
        with capture_logs() as logs:
            certificates.open()
        assert [line["event"] for line in logs] == [event]
        assert certificates.expires_at is not None
        assert abs(certificates.expires_at - time.time() - ends.total_seconds()) < 60
