"""Calls through a running switch by our own user agents."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from b2bua.agent.user_agent import Answerer, Caller, UserAgent
from b2bua.sip.message import Request, Response, parse_message
from tests.support.switch import NUMBER, Switch

SOURCE = "441234567890"
PATIENCE = 10.0


@asynccontextmanager
async def agents(*wanted: UserAgent) -> AsyncIterator[None]:
    """Open user agents, and close them at the end."""
    try:
        for agent in wanted:
            await agent.open()
        yield
    finally:
        for agent in wanted:
            agent.close()


async def within(event: asyncio.Event) -> None:
    """Wait for something that must happen."""
    async with asyncio.timeout(PATIENCE):
        await event.wait()


async def are_up(caller: UserAgent, callee: UserAgent) -> None:
    """Wait until both sides know that their call is up: of the two legs, either may be the later one."""
    await within(caller.is_answered)
    await within(callee.is_answered)


async def hang_up(first: UserAgent, other: UserAgent) -> None:
    """End a call from one side when both know that it is up, and see the other side hear it."""
    await are_up(first, other)
    first.hang_up()
    await within(other.is_ended)


async def until(condition: Callable[[], object]) -> None:
    """Look until a condition holds, while the agents go on."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is looked at has no event
            await asyncio.sleep(0.02)


def dial(caller: Caller, switch: Switch, number: str = NUMBER, transport: str = "udp") -> None:
    """Call a number through the switch."""
    caller.call(number, SOURCE, "127.0.0.1", switch.port, transport)


def carrier_on(switch: Switch, gateway: int = 0, **how: int | bool) -> Answerer:
    """A carrier at the port of one of the two gateways."""
    return Answerer("127.0.0.1", switch.carrier_ports[gateway], **how)  # type: ignore[arg-type]


def received(agent: UserAgent) -> list[Request | Response]:
    """What an agent received, parsed."""
    return [parse_message(message.data) for message in agent.trace.messages if not message.is_sent]


def answers(agent: UserAgent) -> list[int]:
    """Status codes that an agent received, in order."""
    return [message.status for message in received(agent) if isinstance(message, Response)]


async def exchange(switch: Switch, text: str, source: str = "127.0.0.1") -> Response:
    """Send one request as a datagram and return the first answer that is not provisional."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Queue[bytes] = asyncio.Queue()

    class Client(asyncio.DatagramProtocol):
        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            arrived.put_nowait(data)

    transport, _ = await loop.create_datagram_endpoint(Client, (source, 0))
    try:
        port = transport.get_extra_info("sockname")[1]
        transport.sendto(text.replace("{port}", str(port)).encode(), ("127.0.0.1", switch.port))
        async with asyncio.timeout(PATIENCE):
            while True:
                response = parse_message(await arrived.get())
                assert isinstance(response, Response)
                if response.status >= 200:
                    return response
    finally:
        transport.close()
