"""WebSocket on real sockets, with aiohttp's client and with user agents (RFC 7118, RFC 6455)."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.sip.flow import Flow, Trust
from b2bua.sip.message import SIZE_LIMIT
from b2bua.transport import pool as pools
from b2bua.transport.websocket import WebSocketFraming
from conf.settings import SIPSettings
from tests.b2bua.transport.test_tls import NAME, PATIENCE, opened, reached
from tests.support import sip
from tests.support.certificates import Authority
from tests.support.loops import on_both_loops

OPTIONS = sip.request("OPTIONS", transport="WS", sent_by="df7jal23ls0d.invalid")
ANYBODY = Trust("none", "")


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def connected(
    agent: Answerer,
    *,
    protocols: tuple[str, ...] = ("sip",),
    origin: str | None = None,
    context: ssl.SSLContext | None = None,
) -> AsyncIterator[ClientWebSocketResponse]:
    scheme = "wss" if context else "ws"
    async with aiohttp.ClientSession() as session:
        client = await session.ws_connect(
            f"{scheme}://127.0.0.1:{agent.port}/",
            protocols=protocols,
            origin=origin,
            ssl=context or True,
            server_hostname=NAME if context else None,
            autoping=False,
        )
        async with client:
            yield client


async def answer(client: ClientWebSocketResponse) -> aiohttp.WSMessage:
    async with asyncio.timeout(PATIENCE):
        return await client.receive()


class TestListener:
    @on_both_loops
    async def test_request_as_text_is_answered_as_text(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            assert client.protocol == "sip"
            await client.send_str(OPTIONS.decode())
            message = await answer(client)
            assert message.type is WSMsgType.TEXT
            assert message.data.startswith("SIP/2.0 200 ")
            # RFC 7118 §5: the address of the connection, for a browser knows none of its own.
            assert ";received=127.0.0.1" in message.data

    @on_both_loops
    async def test_request_is_read_when_it_is_binary_and_without_content_length(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            await client.send_bytes(
                OPTIONS.replace(b"Content-Length: 0\r\n", b"").replace(b"Call-ID: call-1", b"i: \xc3\xa9")
            )
            assert (await answer(client)).data.startswith("SIP/2.0 200 ")

    @on_both_loops
    async def test_secure_request_is_answered(self, authority: Authority) -> None:
        agent = Answerer(transport="wss")
        agent.tls = authority.settings(NAME)
        context = ssl.create_default_context(cafile=str(authority.file))
        async with opened(agent), connected(agent, context=context) as client:
            await client.send_str(OPTIONS.decode().replace("SIP/2.0/WS", "SIP/2.0/WSS"))
            assert (await answer(client)).data.startswith("SIP/2.0 200 ")

    @on_both_loops
    async def test_pings_are_answered_in_both_ways(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            await client.ping(b"there?")
            message = await answer(client)
            assert (message.type, bytes(message.data)) == (WSMsgType.PONG, b"there?")
            await client.send_str("\r\n\r\n")
            assert (await answer(client)).data == "\r\n"

    @on_both_loops
    async def test_close_is_answered(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            await client.send_str(OPTIONS.decode())
            await answer(client)
            assert agent.endpoint.connections == 1
            await client.close(code=1000)
            assert client.close_code == 1000

    @on_both_loops
    async def test_message_above_the_limit_closes_the_connection_with_a_code(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            await client.send_bytes(b"x" * (SIZE_LIMIT + 1))
            message = await answer(client)
            assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
            assert agent.trace.messages == []

    @on_both_loops
    @pytest.mark.parametrize("protocols", [(), ("mqtt",)])
    async def test_handshake_is_refused_when_the_peer_does_not_speak_sip(self, protocols: tuple[str, ...]) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent):
            with pytest.raises(WSServerHandshakeError) as caught:
                async with connected(agent, protocols=protocols):
                    pass
            assert caught.value.status == 400

    @on_both_loops
    @pytest.mark.parametrize(
        ("origin", "is_allowed"), [("https://phone.example", True), ("https://evil.example", False), (None, False)]
    )
    async def test_web_page_may_connect_only_when_it_is_named(self, origin: str | None, is_allowed: bool) -> None:
        agent = Answerer(transport="ws")
        agent._settings = SIPSettings(
            listen=("ws://127.0.0.1:0",), user_agent="", websocket_origins=("https://phone.example",)
        )
        async with opened(agent):
            if is_allowed:
                async with connected(agent, origin=origin) as client:
                    await client.send_str(OPTIONS.decode())
                    assert (await answer(client)).data.startswith("SIP/2.0 200 ")
            else:
                with pytest.raises(WSServerHandshakeError) as caught:
                    async with connected(agent, origin=origin):
                        pass
                assert caught.value.status == 403

    @on_both_loops
    async def test_plain_http_gets_an_answer_and_the_end(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), aiohttp.ClientSession() as session:
            response = await session.get(f"http://127.0.0.1:{agent.port}/")
            assert response.status == 426

    @on_both_loops
    async def test_silent_connection_is_pinged_and_then_closed(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent), connected(agent) as client:
            await client.send_str(OPTIONS.decode())
            await answer(client)
            pool, now = agent.endpoint._pool, agent.endpoint.now()
            pool.look_after(now + pools.WEBSOCKET_PING + 1)
            assert (await answer(client)).type is WSMsgType.PING
            pool.look_after(now + pools.WEBSOCKET_SILENCE + 1)
            assert (await answer(client)).type in (WSMsgType.CLOSED, WSMsgType.ERROR, WSMsgType.CLOSING)


class TestUserAgents:
    @on_both_loops
    @pytest.mark.parametrize("transport", ["ws", "wss"])
    async def test_call_is_set_up_and_ended_by_the_callee(self, authority: Authority, transport: str) -> None:
        caller, answerer = Caller(transport=transport), Answerer(transport=transport)
        caller.tls = authority.settings("caller.example", file="caller.pem")
        answerer.tls = authority.settings(NAME, file="answerer.pem")
        async with opened(caller, answerer):
            caller.call("100", "200", "127.0.0.1", answerer.port, transport, trust=Trust("name", NAME))
            await reached(caller.is_answered)
            await reached(answerer.is_answered)
            answerer.hang_up()
            await reached(caller.is_ended)
            (invite,) = answerer.invites
            assert invite.headers["via"][0].startswith(f"SIP/2.0/{transport.upper()} ")
            assert invite.headers["contact"] == [f"<sip:127.0.0.1:{caller.port};transport=ws>"]
            assert answerer.endpoint.connections == 1

    @on_both_loops
    async def test_call_fails_when_the_server_refuses_the_handshake(self) -> None:
        caller, answerer = Caller(transport="ws"), Answerer(transport="ws")
        answerer._settings = SIPSettings(
            listen=("ws://127.0.0.1:0",), user_agent="", websocket_origins=("https://phone.example",)
        )
        async with opened(caller, answerer):
            await dial_ws(caller, answerer.port)
            assert not caller.is_answered.is_set()

    @on_both_loops
    async def test_call_fails_when_the_server_speaks_no_http(self) -> None:
        caller, answerer = Caller(transport="ws"), Answerer(transport="tcp")
        async with opened(caller, answerer):
            await dial_ws(caller, answerer.port)
            assert not caller.is_answered.is_set()

    @on_both_loops
    async def test_client_cannot_be_connected_to(self) -> None:
        agent = Answerer(transport="ws")
        async with opened(agent):
            assert agent.endpoint.flow_to("ws", "127.0.0.1", 9) is None
            gone = Flow("ws", "127.0.0.1", 9, 0, 77)
            assert agent.endpoint._pool.send(OPTIONS, gone) == "connection is closed"


async def dial_ws(caller: Caller, port: int) -> None:
    caller.call("100", "200", "127.0.0.1", port, "ws", trust=ANYBODY)
    await reached(caller.is_ended)


class TestFraming:
    """Bytes alone."""

    def pair(self) -> tuple[WebSocketFraming, WebSocketFraming]:
        client = WebSocketFraming.connecting("127.0.0.1", 80, is_secure=False)
        server = WebSocketFraming.accepting(())
        client.begin()
        server.begin()
        assert server.receive(client.take_outgoing()) == []
        assert client.receive(server.take_outgoing()) == []
        assert client.is_ready
        assert server.is_ready
        return client, server

    def test_messages_pass_both_ways_whatever_they_are(self) -> None:
        client, server = self.pair()
        for data in (OPTIONS, b"\xff\xfe not text"):
            assert server.receive(client.frame(data)) == [data]
            assert client.receive(server.frame(data)) == [data]

    def test_message_in_many_parts_is_one(self) -> None:
        client, server = self.pair()
        protocol = client._protocol
        protocol.send_text(OPTIONS[:10], fin=False)
        for part in (b"", b"", OPTIONS[10:20]):
            protocol.send_continuation(part, fin=False)
        protocol.send_continuation(OPTIONS[20:], fin=True)
        assert server.receive(client.take_outgoing()) == [OPTIONS]

    def test_ping_and_pong_are_no_messages(self) -> None:
        client, server = self.pair()
        assert client.receive(server.ping()) == []
        assert server.receive(client.take_outgoing()) == []

    @pytest.mark.parametrize("data", [b"\r\n", b"\r\n\r\n", b""])
    def test_line_ends_are_no_messages(self, data: bytes) -> None:
        client, server = self.pair()
        assert server.receive(client.frame(data)) == []
