"""Calls with sound through a whole switch, set up and torn down in batches: `python -m tests.support.media_soak`.

Caller, switch and carrier are network namespaces with cables between them, so that the kernel passes the sound on: only
root can make them. Both ends of every call send, and count what comes. In the middle, while a batch is up, the engine
is killed with SIGKILL: the batch goes on to send, and one more call is made at once. Afterwards nothing may be left: no
port or session of the engine, no conntrack entry, no line of its session file, nothing in the live store. Prints one
line of JSON last.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import orjson
import uvloop

from b2bua.agent.user_agent import Answerer, Caller
from b2bua.call.caller_leg import CallerLeg
from b2bua.call.leg import Leg
from b2bua.sip.events import AckReceived, RequestReceived
from b2bua.sip.events import Event as SIPEvent
from b2bua.sip.flow import Flow
from b2bua.sip.message import Request, Response
from b2bua.sip.transactions import ServerTransaction
from b2bua.sip.uri import URI
from b2bua.tasks import spawn
from media.client import MediaClient
from media.engine_address import OWN, EngineAddress
from media.kernel import ConntrackPath
from tests.media.rig import End
from tests.support.media import until
from tests.support.networks import CALLEE, CALLER, SWITCH, Networks, in_networks
from tests.support.switch import Switch, running_switch, wait_until

PORT: Final = 5060
"""Of the switch, whose network is its own."""

FIRST_PORT, LAST_PORT = 30_000, 39_999
"""Of the engine."""

NUMBER: Final = "4420794{:05d}"
"""Of a call, whose carrier's end is found by its last digits."""

PACKETS: Final = 4
"""That each end of a call sends once the kernel has it."""

PACKET_INTERVAL: Final = 0.02
SENDING: Final = 50
"""Packets of each end while the engine is dead and comes back: a second of sound."""

PATIENCE: Final = 20.0

REDIAL: Final = 0.1
"""A caller that was refused for want of an engine tries again after so long."""


@dataclass(slots=True)
class Tally:
    """What was seen."""

    calls: int = 0
    packets_sent: int = 0
    packets_lost: int = 0
    sent_while_killed: int = 0
    lost_while_killed: int = 0
    anchored_after_kill: float = 0.0
    """Seconds from the death of the engine until a new call was up and heard."""
    refused_while_killed: int = 0
    """Calls that were refused until then, for want of an engine."""
    seconds: float = 0.0
    left: dict[str, int] = field(default_factory=dict)
    """What was left at the end, but for what there was before."""

    @property
    def is_right(self) -> bool:
        """Whether nothing was lost, nothing was left, and a new call was heard soon."""
        return self.anchored_after_kill < 3 and not (
            self.packets_lost or self.lost_while_killed or any(self.left.values())
        )

    def as_json(self) -> str:
        """The one line."""
        return json.dumps(asdict(self))


class SoakCaller(Caller):
    """A caller that hears, and may call again."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.end = End(host)
        self.far = End.__new__(End)
        """The other end of its call."""

    @property
    def session(self) -> bytes:
        """Where it hears."""
        return self.end.sdp()

    def dial(self, number: str) -> None:
        """Call, as if never before."""
        self.is_answered.clear()
        self.is_ended.clear()
        self.trace.messages.clear()
        self.call(number, "441234567890", SWITCH[CALLER], PORT)

    def callee_responded(self, leg: Any, response: Response) -> None:
        """Take up where to send to."""
        if response.body:
            self.end.learn(response.body)
        super().callee_responded(leg, response)


class SoakCarrier(Answerer):
    """A carrier with many calls at once, each of which has a place for its sound."""

    def __init__(self, host: str, ends: list[End]) -> None:
        super().__init__(host)
        self._ends = ends
        self._legs: dict[str, Leg] = {}
        self._end = ends[0]
        self.acknowledged = 0

    @property
    def session(self) -> bytes:
        """Where the call hears that is just being answered."""
        return self._end.sdp()

    @property
    def calls(self) -> int:
        """Calls that are up."""
        return len(self._legs)

    def handle_event(self, event: SIPEvent, now: float) -> None:
        """An event of one of the calls."""
        if isinstance(event, RequestReceived | AckReceived):
            self.leg = self._legs.get(event.request.call_id)
        super().handle_event(event, now)

    def invited(self, transaction: ServerTransaction, request: Request, flow: Flow) -> None:
        """Answer on the end that the number names."""
        self._end = self._ends[int(URI.parse(request.uri).number[-5:])]
        self._end.learn(request.body)
        super().invited(transaction, request, flow)
        self.trace.messages.clear()
        self.invites.clear()
        assert isinstance(self.leg, CallerLeg)
        self._legs[request.call_id] = self.leg

    def caller_acknowledged(self, body: bytes) -> None:
        """A call is up."""
        self.acknowledged += 1

    def leg_hung_up(self, leg: Leg, cause: int | None) -> None:
        """A call is over."""
        self._legs.pop(leg.key[0], None)


class Soak:
    """A switch between its networks, the callers and the carrier.

    Args:
        networks: The networks.
        switch: The switch.
        batch: Calls at once.
    """

    def __init__(self, networks: Networks, switch: Switch, batch: int) -> None:
        self._switch = switch
        self.tally = Tally()
        with networks.inside(CALLER):
            # One more than a batch, who calls while the engine is dead.
            self._callers = [SoakCaller(CALLER) for _ in range(batch + 1)]
        with networks.inside(CALLEE):
            self._ends = [End(CALLEE) for _ in range(batch + 1)]
            self._carrier = SoakCarrier(CALLEE, self._ends)
        for caller, end in zip(self._callers, self._ends, strict=True):
            caller.far = end
        self._networks = networks
        self.path = ConntrackPath(FIRST_PORT, LAST_PORT)
        """To look at the kernel's entries with."""

    async def open(self) -> int:
        """Begin to listen; returns the carrier's port."""
        for agent in (*self._callers, self._carrier):
            with self._networks.inside(agent.host):
                await agent.open()  # of UDP alone, it waits for nothing
        return self._carrier.port

    async def close(self) -> None:
        """Let go of everything."""
        for caller in self._callers:
            caller.close()
            caller.end.close()
        self._carrier.close()
        for end in self._ends:
            end.close()
        self.path.close(keep=True)

    async def run(self, calls: int) -> None:
        """Make so many calls; the engine is killed in the batch in the middle."""
        batch = len(self._callers) - 1
        sizes = [min(batch, calls - done) for done in range(0, calls, batch)]
        for number, size in enumerate(sizes):
            callers = self._callers[:size]
            await self._set_up(callers)
            await self._talk(callers)
            if number == len(sizes) // 2:
                await self._kill(callers)
                callers = [*callers, self._callers[-1]]
            await self._tear_down(callers)

    async def _set_up(self, callers: list[SoakCaller]) -> None:
        self._carrier.acknowledged = 0
        for caller in callers:
            caller.dial(NUMBER.format(self._callers.index(caller)))
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(caller.is_answered.wait() for caller in callers))
        await until(lambda: self._carrier.acknowledged == len(callers), PATIENCE)
        self.tally.calls += len(callers)
        # What comes first shows where the ends are; then the kernel takes over.
        await self._exchange(callers, 1)

    async def _exchange(self, callers: list[SoakCaller], count: int) -> None:
        for caller in callers:
            caller.end.send(count)
            caller.far.send(count)
        for caller in callers:
            for end in (caller.end, caller.far):
                await end.gets(count)

    async def _talk(self, callers: list[SoakCaller]) -> None:
        await until(lambda: len(self.path.count()) == len(callers), PATIENCE)
        before = _packets(self.path)
        for caller in callers:
            caller.end.send(PACKETS)
            caller.far.send(PACKETS)
        sent = 2 * PACKETS * len(callers)
        received = await self._hear(callers, sent)
        # All of them took the kernel's way.
        assert _packets(self.path) - before == sent
        self.tally.packets_sent += sent
        self.tally.packets_lost += sent - received

    async def _hear(self, callers: list[SoakCaller], sent: int) -> int:
        """Count what comes, until all has come or nothing does for a while."""
        received, last = 0, time.monotonic()
        while received < sent and time.monotonic() - last < 1.0:
            came = sum(len(end.received()) for caller in callers for end in (caller.end, caller.far))
            if came:
                received, last = received + came, time.monotonic()
            await asyncio.sleep(0.002)
        return received

    async def _kill(self, callers: list[SoakCaller]) -> None:
        killed = self._switch.child("media")
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        newcomer = spawn(self._call_anew(began), "newcomer")
        for number in range(SENDING):
            for caller in callers:
                caller.end.send()
                caller.far.send()
            await asyncio.sleep(max(0.0, began + (number + 1) * PACKET_INTERVAL - time.monotonic()))
        sent = 2 * SENDING * len(callers)
        received = await self._hear(callers, sent)
        self.tally.sent_while_killed += sent
        self.tally.lost_while_killed += sent - received
        self.tally.anchored_after_kill = round(await newcomer, 2)
        assert self._switch.child("media") not in (0, killed)
        # The next engine has taken up what the first left.
        await self._talk([*callers, self._callers[-1]])

    async def _call_anew(self, began: float) -> float:
        caller = self._callers[-1]
        while True:
            caller.dial(NUMBER.format(len(self._callers) - 1))
            await until(lambda: caller.is_answered.is_set() or caller.is_ended.is_set(), PATIENCE)
            if caller.is_answered.is_set():
                await self._exchange([caller], 1)
                self.tally.calls += 1
                return time.monotonic() - began
            await asyncio.sleep(REDIAL)

    async def _tear_down(self, callers: list[SoakCaller]) -> None:
        for caller in callers:
            caller.hang_up()
        await until(lambda: not self._carrier.calls, PATIENCE)


def _packets(path: ConntrackPath) -> int:
    return sum(count.packets for counts in path.count().values() for count in counts)


async def engine_figures(switch: Switch) -> dict[str, Any]:
    """What the engine says of itself."""
    path = str(switch.run_directory / "media-1.sock")
    client = MediaClient([EngineAddress(OWN, 1, path)], is_logging=False)
    try:
        figures: dict[str, Any] = await client.wait(client.statistics, OWN)
        return figures
    finally:
        client.close()


def session_lines(switch: Switch) -> int:
    """How many calls the engine's session file still has."""
    states: dict[str, Any] = {}
    file = switch.run_directory / "media-1.sessions"
    for line in file.read_bytes().splitlines() if file.exists() else ():
        call_id, state = orjson.loads(line)
        states[call_id] = state
    return sum(state is not None for state in states.values())


def descriptors(switch: Switch) -> int:
    """How many files and sockets the engine has open."""
    return len(list(Path(f"/proc/{switch.child('media')}/fd").iterdir()))


def run_soak(calls: int, batch: int) -> Tally:
    """Make the calls, and return what was seen."""
    return in_networks(partial(_run, calls, batch))


def _run(calls: int, batch: int, networks: Networks) -> Tally:
    with (
        running_switch(SOFTSWITCH_SIP__LISTEN=f"udp://0.0.0.0:{PORT}") as switch,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        soak = runner.run(_make(networks, switch, batch))
        try:
            port = runner.run(soak.open())
            switch.command("gateway", "set", "demo-a", "--host", CALLEE, "--port", str(port))
            switch.command("device", "add", "--account", "DEMO0002", "--address", CALLER)
            switch.command("account", "set", "DEMO0002", "--with-media")
            switch.wait_for_configuration()
            descriptors_before = descriptors(switch)
            began = time.monotonic()
            runner.run(soak.run(calls))
            soak.tally.seconds = round(time.monotonic() - began, 1)
            look_for_what_is_left(switch, soak, descriptors_before)
            return soak.tally
        finally:
            runner.run(soak.close())


async def _make(networks: Networks, switch: Switch, batch: int) -> Soak:
    return Soak(networks, switch, batch)


def look_for_what_is_left(switch: Switch, soak: Soak, descriptors_before: int) -> None:
    """Note what of the calls is left once they are over and recorded."""
    tally = soak.tally
    wait_until(lambda: switch.ask("ping")["calls"] == 0, "the calls to end")
    wait_until(lambda: _samples(switch)["softswitch_calls_anchored"] == 0, "the engine's calls to be deleted")
    wait_until(switch.all_is_written, "the records to be written", 60.0)
    figures = asyncio.run(engine_figures(switch))
    samples = _samples(switch)
    answered = switch.query("SELECT a_packets, b_packets FROM cdr WHERE code = 'ANSWERED' AND media_mode = 'anchored'")
    tally.refused_while_killed = len(switch.query("SELECT FROM cdr WHERE code = 'NO_MEDIA'"))
    tally.left = {
        "engine's calls": figures["calls"],
        "engine's ports": figures["ports"],
        "engine's kernel streams": figures["kernel streams"],
        "engine's descriptors": descriptors(switch) - descriptors_before,
        "conntrack entries": len(soak.path.count()),
        "lines of the session file": session_lines(switch),
        "session counters": len(switch.session_counters()),
        "sessions taken": int(samples["softswitch_sessions_taken"]),
        "dialogs": int(samples["softswitch_dialogs"]),
        "calls without a record": tally.calls - len(answered),
        "records without figures": sum(
            min(each["a_packets"] or 0, each["b_packets"] or 0) < PACKETS for each in answered
        ),
    }


def _samples(switch: Switch) -> dict[str, float]:
    return {name: value for name, _, value in switch.ask("metrics")["samples"]}


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=50, help="calls at once")
    arguments = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("only root may make network namespaces")
    tally = run_soak(arguments.calls, arguments.batch)
    print(tally.as_json())
    return 0 if tally.is_right else 1


if __name__ == "__main__":
    sys.exit(main())
