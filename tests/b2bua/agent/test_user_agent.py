"""Both user agents against each other over real sockets on 127.0.0.1."""

import asyncio
from collections.abc import Callable

import pytest

from b2bua.agent.user_agent import Answerer, Caller, Trace, UserAgent
from b2bua.sip.message import parse_message
from b2bua.tasks import stop_all
from b2bua.transport.endpoint import PortTaken
from tests.support import sip
from tests.support.calls import agents, answers, received, until, within
from tests.support.legs import on_loop

BOTH = pytest.mark.parametrize("transport", ["udp", "tcp"])


def dial(caller: Caller, callee: UserAgent, transport: str) -> None:
    caller.call("442079460000", "441234567890", "127.0.0.1", callee.port, transport)


def titles(agent: UserAgent, *, is_sent: bool) -> list[str]:
    return [message.title for message in agent.trace.messages if message.is_sent == is_sent]


class TestCall:
    @on_loop
    @BOTH
    async def test_both_ends_know_when_the_call_is_up_and_when_the_caller_hangs_up(self, transport: str) -> None:
        caller, callee = Caller(transport=transport), Answerer(transport=transport)
        async with agents(caller, callee):
            dial(caller, callee, transport)
            await within(callee.is_answered)
            assert caller.is_answered.is_set()
            caller.hang_up()
            await within(callee.is_ended)
            await until(lambda: answers(caller) == [180, 200, 200])
            assert titles(caller, is_sent=True) == ["INVITE", "ACK", "BYE"]
            assert titles(caller, is_sent=False) == ["180 Ringing", "200 OK", "200 OK"]
            assert titles(callee, is_sent=True) == ["180 Ringing", "200 OK", "200 OK"]
        await stop_all()

    @on_loop
    @BOTH
    async def test_caller_knows_when_the_callee_hangs_up(self, transport: str) -> None:
        caller, callee = Caller(transport=transport), Answerer(transport=transport)
        async with agents(caller, callee):
            dial(caller, callee, transport)
            await within(callee.is_answered)
            callee.hang_up()
            await within(caller.is_ended)
            await until(lambda: answers(callee) == [200])
        await stop_all()

    @on_loop
    async def test_answer_is_sent_without_ringing_when_that_is_wanted(self) -> None:
        caller, callee = Caller(), Answerer(rings=False)
        async with agents(caller, callee):
            dial(caller, callee, "udp")
            await within(callee.is_answered)
            assert answers(caller) == [200]

    @on_loop
    async def test_invites_are_kept_with_their_session(self) -> None:
        caller, callee = Caller(), Answerer()
        async with agents(caller, callee):
            dial(caller, callee, "udp")
            await within(callee.is_answered)
            (invite,) = callee.invites
            assert invite.uri == f"sip:442079460000@127.0.0.1:{callee.port}"
            assert invite.headers["from"][0].startswith(f"<sip:441234567890@127.0.0.1:{caller.port}>;tag=")
            assert invite.body == caller.session
            assert b"c=IN IP4 127.0.0.1\r\n" in caller.session


class TestRefusal:
    @on_loop
    @BOTH
    async def test_caller_knows_the_status_when_the_callee_refuses(self, transport: str) -> None:
        caller, callee = Caller(transport=transport), Answerer(transport=transport, refuse=486, cause=17)
        async with agents(caller, callee):
            dial(caller, callee, transport)
            await within(caller.is_ended)
            assert (caller.status, caller.is_answered.is_set()) == (486, False)
            refused = received(caller)[-1]
            assert refused.headers["reason"] == ["Q.850;cause=17"]
            await until(lambda: "ACK" in titles(callee, is_sent=False))
        await stop_all()

    @on_loop
    async def test_agent_is_busy_when_it_only_calls(self) -> None:
        caller, other = Caller(), Caller()
        async with agents(caller, other):
            dial(caller, other, "udp")
            await within(caller.is_ended)
            assert caller.status == 486

    @on_loop
    async def test_caller_knows_when_nobody_is_there(self) -> None:
        caller, callee = Caller(transport="tcp"), Answerer(transport="tcp")
        async with agents(caller):
            async with agents(callee):
                pass
            dial(caller, callee, "tcp")
            await within(caller.is_ended)
            assert (caller.status, caller.is_answered.is_set()) == (0, False)
        await stop_all()


class TestCancel:
    @on_loop
    @BOTH
    async def test_callee_knows_when_the_caller_gives_up(self, transport: str) -> None:
        caller, callee = Caller(transport=transport), Answerer(transport=transport, answers=False)
        async with agents(caller, callee):
            dial(caller, callee, transport)
            await until(lambda: answers(caller) == [180])
            caller.cancel()
            await within(callee.is_ended)
            await until(lambda: sorted(answers(caller)) == [180, 200, 487])
            assert not caller.is_answered.is_set()
        await stop_all()


class DeafCaller(Caller):
    """Loses the first answers that it gets."""

    def __init__(self, deaf_to: int) -> None:
        super().__init__()
        self._deaf_to = deaf_to

    async def open(self) -> None:
        await super().open()
        receive = self.endpoint._udp[0]._received
        self.endpoint._udp[0]._received = self._deafened(receive)

    def _deafened(self, receive: Callable[..., None]) -> Callable[..., None]:
        def hear(data: bytes, *rest: object) -> None:
            if data.startswith(b"SIP/2.0 200") and self._deaf_to:
                self._deaf_to -= 1
                return
            receive(data, *rest)

        return hear


class TestLoss:
    @on_loop
    async def test_call_is_up_when_the_first_answer_was_lost(self) -> None:
        caller, callee = DeafCaller(1), Answerer(rings=False)
        async with agents(caller, callee):
            dial(caller, callee, "udp")
            await within(callee.is_answered)
            assert titles(callee, is_sent=True) == ["200 OK", "200 OK"]
            assert answers(caller) == [200]


class TestOtherRequests:
    @on_loop
    @pytest.mark.parametrize(
        ("method", "status"), [("OPTIONS", "200 OK"), ("BYE", "481 Call/Transaction Does Not Exist")]
    )
    async def test_request_without_a_call_is_answered(self, method: str, status: str) -> None:
        one, other = Answerer(), Answerer()
        async with agents(one, other):
            flow = one.endpoint.flow_to("udp", "127.0.0.1", other.port)
            assert flow is not None
            one.endpoint.transactions.send_request(sip.our_request(method), flow, one.endpoint.now(), None)
            one.endpoint.end_of_turn()
            await until(lambda: titles(one, is_sent=False))
            assert titles(one, is_sent=False) == [status]


class TestOpening:
    @on_loop
    async def test_port_is_the_one_that_was_asked_for(self) -> None:
        first = Answerer()
        async with agents(first):
            port = first.port
            with pytest.raises(PortTaken):
                await Answerer(port=port).open()
        again = Answerer(port=port)
        async with agents(again):
            assert again.port == port

    def test_closing_is_harmless_when_it_was_never_opened(self) -> None:
        Caller().close()


class TestTrace:
    def test_title_is_the_method_or_the_status_and_its_reason(self) -> None:
        trace = Trace()
        trace.add(sip.request("BYE"), is_sent=True)
        trace.add(b"SIP/2.0 480 Temporarily Unavailable\r\n\r\n", is_sent=False)
        trace.add(b"\xff\xfe", is_sent=False)
        assert [(message.title, message.is_sent) for message in trace.messages] == [
            ("BYE", True), ("480 Temporarily Unavailable", False), ("\ufffd\ufffd", False),
        ]  # fmt: skip
        assert trace.messages[0].at <= trace.messages[1].at

    @on_loop
    async def test_both_traces_have_the_same_bytes(self) -> None:
        caller, callee = Caller(), Answerer()
        async with agents(caller, callee):
            dial(caller, callee, "udp")
            await within(callee.is_answered)
            sent = [message.data for message in caller.trace.messages if message.is_sent]
            got = [message.data for message in callee.trace.messages if not message.is_sent]
            assert sent == got
            assert [parse_message(data).method for data in sent] == ["INVITE", "ACK"]


def test_agent_can_be_made_before_there_is_a_loop() -> None:
    assert asyncio.run(_opened_later(Answerer())) > 0


async def _opened_later(agent: Answerer) -> int:
    async with agents(agent):
        return agent.port
