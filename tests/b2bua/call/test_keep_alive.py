"""Ways to registered telephones are kept open: on a wire, with a clock that only the tests move."""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from b2bua.call.keep_alive import AT_ONCE, SLOTS, KeepAlive
from b2bua.registrar.bindings import Binding
from b2bua.registrar.listing import Wanted
from b2bua.registrar.service import Registrar
from b2bua.registrar.store import BindingStore
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.events import RequestReceived
from b2bua.sip.message import Response
from b2bua.tasks import spawn
from b2bua.transport.endpoint import Endpoint, EndpointUser
from conf.settings import SIPSettings
from tests.b2bua.call.rig import Rig, running_rig
from tests.support.legs import WiredEndpoint, on_loop
from tests.support.registrations import make_binding

WORKER = "sip-1:1"
PATIENCE = 5.0
INTERVAL = 25.0
PHONE = "198.51.100.99"


class Phone(EndpointUser):
    """Answers what comes, unless it is silent."""

    def __init__(self, rig: Rig, host: str = PHONE, status: int = 200) -> None:
        self.endpoint = WiredEndpoint(rig.wire, host, self)
        self.status = status

    def before_send(self) -> None:
        """There is no journal."""
        return

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Answer."""
        if isinstance(event, RequestReceived) and self.status:
            self.endpoint.transactions.send_response(event.transaction, Response.to(event.request, self.status), now)


class Kept:
    """A switch that keeps ways open."""

    def __init__(self, rig: Rig, **sip: Any) -> None:
        self.rig = rig
        self.keep_alive = KeepAlive(rig.switch, SIPSettings(**sip), WORKER)

    def bind(self, user: int, *bindings: Binding) -> None:
        """A SIP user is registered at these places."""
        self.keep_alive.bindings_changed(user, bindings)

    def wait(self, seconds: float, look: float = 0.05) -> list[int]:
        """Let time pass; returns how many were sent in each look."""
        sent = []
        for _ in range(round(seconds / look)):
            self.rig.wire.advance(look)
            sent.append(self.keep_alive.turn(self.rig.wire.now))
            self.rig.switch.end_of_turn()
            self.rig.wire.settle()
        return sent

    def options(self, host: str = PHONE) -> int:
        """How many came to a telephone, or would have."""
        return len(self.rig.wire.requests("OPTIONS", target=host))

    def state(self, binding: Binding, user: int = 9) -> tuple[str, bool, int]:
        """Method, whether it was ever seen, and how often it was silent."""
        row = self.keep_alive.describe(user, binding)
        return row["keep_alive"], row["last_seen"] is not None, row["unanswered"]


MakeKept = Callable[..., Kept]


@pytest.fixture
def make_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKept]:
    """Make it, from inside a coroutine."""
    rigs = []

    def make(**sip: Any) -> Kept:
        rigs.append(running_rig(tmp_path))
        rig = rigs[-1].__enter__()
        monkeypatch.setattr("time.time", rig.wire.time_of_day)
        return Kept(rig, **sip)

    yield make
    for rig in rigs:
        rig.__exit__(None, None, None)


def hidden(**changed: Any) -> Binding:
    """A binding behind a NAT that came to this worker."""
    contact = "sip:alice@192.168.1.7:5060"
    changed = {"is_behind_nat": True, **changed}
    return make_binding(
        **{"contact": contact, "worker": WORKER, "host": PHONE, "source": PHONE, "port": 5060, **changed}
    )


class TestOptions:
    @on_loop
    async def test_telephone_is_asked_once_an_interval_along_the_way_that_it_came(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        Phone(kept.rig)
        kept.bind(9, hidden())
        kept.wait(4 * INTERVAL)
        requests = kept.rig.wire.requests("OPTIONS", target=PHONE)
        times = [each.at for each in kept.rig.wire.carried if each.label == "OPTIONS"]
        assert len(requests) == 4
        assert times[0] <= INTERVAL
        assert all(abs(later - earlier - INTERVAL) < 0.2 for earlier, later in pairwise(times))
        assert {request.uri for request in requests} == {"sip:alice@192.168.1.7:5060"}
        assert len({(request.call_id, request.from_tag) for request in requests}) == 4
        assert requests[0].headers["user-agent"] == ["softswitch"]
        assert kept.keep_alive.sent == 4

    @on_loop
    @pytest.mark.parametrize("status", [200, 404, 481, 501])
    async def test_any_answer_is_life(self, make_kept: MakeKept, status: int) -> None:
        kept = make_kept()
        phone, binding = Phone(kept.rig), hidden()
        kept.bind(9, binding)
        assert kept.state(binding) == ("options", False, 0)
        phone.status = status
        kept.wait(2 * INTERVAL)
        assert kept.state(binding) == ("options", True, 0)
        assert kept.keep_alive.describe(9, binding)["last_seen"] > kept.rig.wire.made_at

    @on_loop
    async def test_silence_is_counted_and_nothing_is_repeated_or_removed(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        phone, binding = Phone(kept.rig, status=0), hidden()
        kept.bind(9, binding)
        kept.wait(4 * INTERVAL)
        assert kept.options() == 4
        assert kept.state(binding) == ("options", False, 3)
        phone.status = 200
        kept.wait(INTERVAL)
        assert kept.state(binding) == ("options", True, 0)
        kept.wait(40.0)
        assert kept.rig.switch.transactions.count <= 1  # but for the one that has just been answered

    @on_loop
    async def test_telephone_that_cannot_be_reached_is_asked_again(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        kept.rig.wire.unreachable.add(PHONE)
        binding = hidden()
        kept.bind(9, binding)
        kept.wait(3 * INTERVAL)
        assert kept.state(binding) == ("options", False, 2)
        assert kept.keep_alive.sent == 3

    @on_loop
    async def test_others_are_asked_when_one_cannot_be(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        kept.bind(9, hidden(contact="nonsense"), hidden())
        kept.wait(INTERVAL)
        assert kept.options() == 1


class TestWhose:
    @on_loop
    async def test_only_what_came_here_and_is_behind_a_nat_is_kept(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        others = (
            hidden(is_behind_nat=False),
            hidden(worker="sip-2:1"),
            hidden(path=("<sip:proxy;lr>",)),
            hidden(transport="wss", connection=3),
            hidden(transport="tcp", connection=3, worker="sip-1:0"),  # its connection ended with the run before
        )
        for number, binding in enumerate(others):
            kept.bind(number, binding)
        kept.wait(INTERVAL + 1)
        assert kept.options() == 0
        assert kept.keep_alive.count == 0
        assert [kept.state(binding, number)[0] for number, binding in enumerate(others)] == ["", "", "", "ping", ""]

    @on_loop
    async def test_way_of_the_run_before_is_kept_on(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        kept.bind(9, hidden(worker="sip-1:0"))
        kept.wait(INTERVAL)
        assert kept.options() == 1

    @on_loop
    async def test_nothing_is_sent_when_a_binding_is_gone_or_expired(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        kept.bind(9, hidden())
        kept.bind(9)
        kept.bind(10, hidden(expires_at=kept.rig.wire.time_of_day() + 0.01))
        kept.wait(INTERVAL + 1)
        assert kept.options() == 0

    @on_loop
    async def test_count_goes_on_when_the_binding_is_refreshed_and_begins_anew_elsewhere(
        self, make_kept: MakeKept
    ) -> None:
        kept = make_kept()
        binding, moved = hidden(), hidden(port=6000)
        kept.bind(9, binding)
        kept.wait(3 * INTERVAL)
        kept.bind(9, hidden(cseq=2), hidden(contact="sip:alice@192.168.1.8"))
        assert kept.state(binding) == ("options", False, 2)
        kept.bind(9, moved)
        assert kept.state(moved) == ("options", False, 0)

    @on_loop
    async def test_registrar_tells_of_its_bindings_and_shows_what_is_done_for_them(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        registrar = Registrar(BindingStore(kept.rig.store), WORKER)
        registrar.follow(kept.keep_alive)
        registrar._learn(9, [hidden(expires_at=kept.rig.wire.time_of_day() + 3 * INTERVAL)])
        assert kept.keep_alive.count == 1
        (row,) = (await registrar.registrations(kept.rig.snapshot, Wanted()))["registrations"]
        assert (row["behind_nat"], row["keep_alive"], row["last_seen"], row["unanswered"]) == (True, "options", None, 0)
        kept.wait(5 * INTERVAL)
        assert kept.options() in (2, 3)
        registrar.has_source(PHONE)  # a look at anything forgets what has expired
        assert kept.keep_alive.count == 0

    @on_loop
    @pytest.mark.parametrize("sip", [{"nat_keep_alive": 0.0}, {"nat_keep_alive_method": "off"}])
    async def test_nothing_is_sent_when_it_is_off(self, make_kept: MakeKept, sip: dict[str, Any]) -> None:
        kept = make_kept(**sip)
        kept.bind(9, hidden())
        await kept.keep_alive.run()
        assert kept.keep_alive.count == 0


class TestPace:
    @on_loop
    async def test_many_are_spread_over_the_interval(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        for user in range(1000):
            kept.bind(user, hidden(contact=f"sip:u{user}@192.168.1.7"))
        sent = kept.wait(INTERVAL + 0.1)
        assert len({request.uri for request in kept.rig.wire.requests("OPTIONS")}) == 1000
        assert sum(sent) <= 1000 + 2 * (1000 // SLOTS + 1)  # the first ones come again
        # 1000 in 500 looks; ids that follow each other share no place until all are taken.
        assert max(sent) <= 2 * (1000 // SLOTS + 1)

    @on_loop
    async def test_turn_is_bounded_and_nobody_comes_twice_after_a_standstill(self, make_kept: MakeKept) -> None:
        kept = make_kept()
        for user in range(350):
            kept.bind(user, hidden(contact=f"sip:u{user}@192.168.1.7"))
        kept.rig.wire.advance(20 * INTERVAL)
        sent = [kept.keep_alive.turn(kept.rig.wire.now) for _ in range(5)]
        assert sent == [AT_ONCE, AT_ONCE, AT_ONCE, 50, 0]
        kept.rig.switch.end_of_turn()
        uris = Counter(request.uri for request in kept.rig.wire.requests("OPTIONS"))
        assert len(uris) == 350
        assert set(uris.values()) == {1}

    @on_loop
    async def test_whoever_waits_already_waits_once_and_whoever_is_gone_waits_in_vain(
        self, make_kept: MakeKept
    ) -> None:
        kept = make_kept()
        for user in range(150):
            kept.bind(user, hidden())
        kept.rig.wire.advance(INTERVAL)
        assert kept.keep_alive.turn(kept.rig.wire.now) == AT_ONCE
        kept.rig.wire.advance(INTERVAL)
        assert [kept.keep_alive.turn(kept.rig.wire.now) for _ in range(2)] == [AT_ONCE, 50]
        kept.rig.wire.advance(INTERVAL)
        assert kept.keep_alive.turn(kept.rig.wire.now) == AT_ONCE
        for user in range(150):
            kept.bind(user)
        assert kept.keep_alive.turn(kept.rig.wire.now) == 0


class Nobody(EndpointUser):
    """Whom nothing concerns."""

    def before_send(self) -> None:
        """Nothing is written."""
        return

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """Nothing comes."""
        return


class TestLineEnds:
    """On real sockets."""

    @on_loop
    async def test_two_come_on_udp(self) -> None:
        endpoint = Endpoint(SIPSettings(listen=("udp://127.0.0.1:0",)), Nobody())
        await endpoint.open()
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
                phone.bind(("127.0.0.1", 0))
                phone.settimeout(PATIENCE)
                host, port = phone.getsockname()
                keep_alive = KeepAlive(endpoint, SIPSettings(nat_keep_alive_method="crlf"), WORKER)
                keep_alive.bindings_changed(9, [hidden(host=host, port=port, expires_at=4e9)])
                assert keep_alive.turn(endpoint.now() + INTERVAL + 1) == 1
                assert phone.recv(100) == b"\r\n\r\n"
                assert keep_alive.describe(9, hidden())["keep_alive"] == "crlf"
        finally:
            endpoint.close()

    @on_loop
    async def test_one_comes_again_and_again_on_a_connection_whether_or_not_it_is_behind_a_nat(self) -> None:
        endpoint = Endpoint(SIPSettings(listen=("tcp://127.0.0.1:0",)), Nobody())
        await endpoint.open()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.addresses[0].port)
            host, port = writer.get_extra_info("sockname")
            place = {"host": host, "source": host, "port": port, "transport": "tcp", "connection": 1}
            binding = hidden(is_behind_nat=False, expires_at=4e9, **place)
            keep_alive = KeepAlive(endpoint, SIPSettings(nat_keep_alive=0.1), WORKER)
            keep_alive.bindings_changed(9, [binding])
            task = spawn(keep_alive.run(), "keep-alive")
            async with asyncio.timeout(PATIENCE):
                assert await reader.readexactly(4) == b"\r\n\r\n"
            row = keep_alive.describe(9, binding)
            assert (row["keep_alive"], row["last_seen"], row["unanswered"]) == ("crlf", None, 0)
            task.cancel()
            writer.close()
            await writer.wait_closed()
        finally:
            endpoint.close()
