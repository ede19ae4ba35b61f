"""Calls over UDP that loses datagrams, and what they leave behind: `python -m tests.support.loss --loss 10`.

A whole switch carries calls between a caller and a carrier (`tests.support.unreliable`), and a relay loses a share of
the datagrams, each way, on both legs. A call is right when it was set up and ended with every answer and ACK on both
sides, and has one record, which says who ended it. Afterwards there must be no call, dialog, transaction, timer, port,
session or hold that was not there before. Prints one line of JSON last.
"""

import argparse
import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.support.crash import held, settle
from tests.support.switch import NUMBER, Switch, free_port, running_switch
from tests.support.unreliable import LOCAL, LossyCaller, LossyCarrier, Relay, Talk

REQUIRED: Final = 0.97
"""Share of the calls that must be right when more than 10 % of the datagrams are lost; else all."""
INVITE_TIMEOUT: Final = 32
RINGS, TALKS = 1, 3
"""In T1."""


@dataclass(slots=True)
class Result:
    """What became of the calls."""

    calls: int
    loss: int
    """Per cent."""
    right: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    """How many calls had which fault."""
    left: dict[str, int] = field(default_factory=dict)
    """What was left over afterwards."""
    carried: int = 0
    lost: int = 0
    repeated: int = 0
    """By the two ends; what the switch repeated comes on top."""
    seconds: float = 0.0

    @property
    def is_good(self) -> bool:
        """Whether enough calls were right, and nothing is left."""
        needed = self.calls if self.loss <= 10 else self.calls * REQUIRED
        return self.right >= needed and not self.left

    def as_json(self) -> str:
        """The one line."""
        return json.dumps(
            {
                "calls": self.calls,
                "loss": self.loss,
                "right": self.right,
                "wrong": dict(self.wrong),
                "left": self.left,
                "datagrams": self.carried,
                "datagrams_lost": self.lost,
                "repeated": self.repeated,
                "seconds": round(self.seconds, 1),
            }
        )


@contextmanager
def lossy_switch(t1: float = 0.5) -> Iterator[tuple[Switch, int, int]]:
    """A switch that shows its peers a port which is not its own; gives it, its own port, and that one."""
    own, shown = free_port(), free_port()
    listen = f"udp://{LOCAL}:{own}?advertise={LOCAL}:{shown}"
    with running_switch(SOFTSWITCH_SIP__LISTEN=listen, SOFTSWITCH_SIP__T1=str(t1)) as switch:
        switch.command("payment", "add", "DEMO0001", "100000", "--reference", "loss")
        switch.command("payment", "add", "DEMO0002", "100000", "--reference", "loss")
        yield switch, own, shown


class Run:
    """One number of calls with one share of loss, through a switch that goes on.

    Args:
        calls: How many.
        loss: Per cent of the datagrams that are lost, each way.
        seed: Of what is lost.
        t1: Of RFC 3261, as the switch has it.
        rate: Calls a second.
    """

    def __init__(self, calls: int, loss: int, *, seed: int = 1, t1: float = 0.5, rate: float = 50.0) -> None:
        self.result = Result(calls, loss)
        self.stories: list[str] = []
        """What went over the network for each call that was not right."""
        self._t1 = t1
        self._rate = rate
        self._relay = Relay(loss / 100, seed)
        self._caller = LossyCaller(t1, TALKS * t1)
        self._carrier = LossyCarrier(t1, TALKS * t1, RINGS * t1)

    async def carry(self, switch: Switch, own: int, shown: int) -> None:
        """Make the calls, and wait until both ends have nothing more to say."""
        await self._relay.open(own, shown)
        for agent in (self._caller, self._carrier):
            await agent.open(self._relay)
        try:
            await asyncio.to_thread(self._point_to, switch, self._carrier.alias)
            for number in range(self.result.calls):
                self._caller.call(number, f"441234{number:06d}", NUMBER)
                await asyncio.sleep(1 / self._rate)
            async with asyncio.timeout(300 * self._t1 + 30):
                while not self._is_over:  # noqa: ASYNC110 - what is looked at has no event
                    await asyncio.sleep(0.1)
        except TimeoutError:
            self.result.wrong["it never ends"] += sum(not talk.is_over for talk in self._caller.talks.values())
        finally:
            self.result.carried, self.result.lost = self._relay.carried, self._relay.lost
            self.result.repeated = sum((self._caller.repeated + self._carrier.repeated).values())
            for closing in (self._caller, self._carrier, self._relay):
                closing.close()

    @property
    def _is_over(self) -> bool:
        agents = (self._caller, self._carrier)
        talks = [talk for agent in agents for talk in agent.talks.values()]
        return not any(agent.repeats for agent in agents) and all(talk.is_over for talk in talks)

    @staticmethod
    def _point_to(switch: Switch, port: int) -> None:
        patience = str(INVITE_TIMEOUT)
        switch.command("gateway", "set", "demo-a", "--port", str(port), "--invite-timeout", patience)
        switch.wait_for_configuration()

    def judge(self, switch: Switch) -> None:
        """Compare what both ends have seen with the records, once those are written."""
        with suppress(AssertionError):
            settle(switch, max(15.0, 90 * self._t1))  # what does not end is found afterwards
        rows = switch.query("SELECT a_call_id, b_call_id, code, ended_by, reason, is_last FROM cdr")
        called: dict[int, list[Talk]] = {}
        for talk in self._carrier.talks.values():
            called.setdefault(talk.number, []).append(talk)
        for talk in self._caller.talks.values():
            own = [row for row in rows if row["a_call_id"] == talk.call_id]
            records = [(row["b_call_id"], row["code"], row["ended_by"], row["reason"]) for row in own if row["is_last"]]
            fault = find_fault(talk, called.get(talk.number, []), records)
            if fault:
                self.result.wrong[fault] += 1
                self._tell(fault, [talk, *called.get(talk.number, [])])
            else:
                self.result.right += 1

    def _tell(self, fault: str, talks: list[Talk]) -> None:
        for talk in talks:
            self.stories += [f"{fault}: {talk.call_id}", *self._relay.stories.get(talk.call_id, []), ""]


def find_fault(caller: Talk, called: list[Talk], records: list[tuple[str, str, str, str]]) -> str:
    """What is wrong with a call; empty: nothing.

    Args:
        caller: As its caller has it.
        called: As the carrier has it.
        records: The other Call-ID, code, who ended it and why, of each record.
    """
    if caller.final != 200:
        return f"it was answered with {caller.final or 'nothing'} {records}"
    if len(called) != 1:
        return f"the carrier was called {len(called)} times"
    (carrier,) = called
    if not carrier.is_acknowledged:
        return "the carrier has no ACK"
    by_caller = caller.number % 2 == 0
    ending, ended = (caller, carrier) if by_caller else (carrier, caller)
    if ending.bye_status != 200:
        return f"the BYE was answered with {ending.bye_status or 'nothing'}"
    if not ended.is_hung_up:
        return "the other end got no BYE"
    if caller.gave_up or carrier.gave_up:
        return f"{caller.gave_up or carrier.gave_up} was repeated in vain"
    expected = (carrier.call_id, "ANSWERED", "caller" if by_caller else "callee", "")
    return "" if records == [expected] else f"its records are {[record[1:] for record in records]}"


class Leavings:
    """What a switch has beside calls, so that it can be told whether it has more later."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._before = self._look()

    def _look(self) -> dict[str, int]:
        samples = {sample[0]: int(sample[2]) for sample in self._switch.ask("metrics").get("samples", [])}
        names = ("calls", "dialogs", "transactions", "timers", "sessions_taken")
        return {
            **{name: samples[f"softswitch_{name}"] for name in names},
            "ports": udp_ports(self._switch.child("sip")),
            "held": held(self._switch),
        }

    def find(self, patience: float) -> dict[str, int]:
        """What there is more than before, once it is nothing or patience ends."""
        deadline = time.monotonic() + patience
        while (left := self._more()) and time.monotonic() < deadline:
            time.sleep(0.25)
        return left

    def _more(self) -> dict[str, int]:
        now = self._look()
        return {name: now[name] - before for name, before in self._before.items() if now[name] > before}


def udp_ports(pid: int) -> int:
    """How many UDP sockets a process has open."""
    lines = [
        line.split() for name in ("udp", "udp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    inodes = {f"socket:[{line[9]}]" for line in lines}
    return sum(_target(path) in inodes for path in Path(f"/proc/{pid}/fd").iterdir())


def _target(path: Path) -> str:
    try:
        return str(path.readlink())
    except OSError:
        return ""


def carry(
    calls: int, loss: int, *, seed: int = 1, rate: float = 50.0, note: Callable[[str], None] = lambda _: None
) -> Result:
    """Carry calls through a switch of their own with the timers of RFC 3261."""
    began = time.monotonic()
    with lossy_switch() as (switch, own, shown):
        leavings = Leavings(switch)
        run = Run(calls, loss, seed=seed, rate=rate)
        asyncio.run(run.carry(switch, own, shown))
        note("both ends have nothing more to say")
        run.judge(switch)
        run.result.left = leavings.find(75.0)
        if run.result.wrong or run.result.left:
            note("\n".join([*run.stories, switch.log()[-3000:]]))
    run.result.seconds = time.monotonic() - began
    return run.result


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--loss", type=int, default=10, help="per cent, each way")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rate", type=float, default=50.0, help="calls a second")
    arguments = parser.parse_args()
    result = carry(
        arguments.calls, arguments.loss, seed=arguments.seed, rate=arguments.rate,
        note=lambda text: print(text, file=sys.stderr, flush=True),
    )  # fmt: skip
    print(result.as_json())
    return 0 if result.is_good else 1


if __name__ == "__main__":
    sys.exit(main())
