"""Whole calls at random: messages in any order, lost, doubled or late; each side sees what RFC 3261 permits.

Two hundred plays in the suite; `RANDOM_CALLS=10000` makes that many.
"""

import os

import pytest
import structlog
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.b2bua.call.lives import STATUSES, Whims, WhimsicalCaller, WhimsicalCarrier
from tests.b2bua.call.rig import CALLER, CARRIERS, CUSTOMER, SWITCH, Rig, add_carrier, running_rig
from tests.support.conduct import find_faults
from tests.support.legs import Carried, on_loop
from tests.support.servers import data_directory

PLAYS = int(os.environ.get("RANDOM_CALLS", "200"))

FIRST = ("nothing", "ring", "progress", "queue", *["answer"] * 6, "busy", "fail", "reject", "decline")
OF_CALLERS = ("cancel", "ack", "ack")
OF_CARRIERS = ("ring", "progress", "answer", "answer", "fork", "not_hear", "busy", "fail", "moved", "decline")
OF_BOTH = ("reinvite", "reinvite", "late", "slow", "update", "refresh", "info", "withdraw", "bye", "bye")
OF_THE_SWITCH = ("hang up", "slow store", "one answer", "quick store", "funds run out", "funds come")
SIDES = ("caller", "carrier")
DIAL = ("switch", "dial")
UP = [DIAL, ("carrier", "answer"), ("wait", 0.3), ("caller", "ack"), ("wait", 0.3)]
"""What brings a call up, where nothing is lost."""
PENDING = [[*UP, (near, "is silent"), (far, "reinvite"), ("wait", 0.2)] for near, far in (SIDES, SIDES[::-1])]
"""An offer of one side is under way, and the other does not answer."""
SLOW = [("switch", "slow store"), DIAL, ("wait", 0.2)]

carriers = st.lists(st.sampled_from([*FIRST, *FIRST, None]), min_size=1, max_size=3)
LONG, SHORT = [5.0, 11.0, 40.0], [0.0, 0.1, 0.2, 0.3, 0.6, 2.0]
sides = st.sampled_from(SIDES)
acts = st.one_of(
    st.tuples(st.just("caller"), st.sampled_from(OF_CALLERS)),
    st.tuples(st.just("carrier"), st.sampled_from(OF_CARRIERS)),
    st.tuples(sides, st.sampled_from(OF_BOTH)),
    st.tuples(sides, st.sampled_from(OF_BOTH)),
    st.tuples(sides, st.sampled_from(sorted(STATUSES))),
    st.tuples(st.just("wait"), st.sampled_from([*SHORT, *SHORT, *SHORT, *LONG])),
    st.tuples(st.just("wait"), st.sampled_from(SHORT)),
    st.tuples(st.just("switch"), st.sampled_from(OF_THE_SWITCH)),
)
scripts = st.builds(
    lambda opening, acts: [*opening, *acts],
    st.sampled_from([UP, UP, *PENDING, [DIAL], [DIAL], SLOW, [*SLOW, ("switch", "one answer")]]),
    st.lists(acts, min_size=3, max_size=25),
)
FATES = {
    "comes": (0.0,),
    "is lost": (),
    "comes twice": (0.0, 0.0),
    "is late": (0.3,),
    "is later": (1.2,),
    "comes again": (0.0, 0.7),
}
fates = st.lists(st.sampled_from(["comes", "comes", "comes", *sorted(FATES)]), max_size=60)


class Play:
    """One call, and all that takes part in it.

    Args:
        rig: Has the switch.
        at_once: What each carrier does as soon as it is called; None: it is not there.
        luck: What becomes of each message; what is left comes.
    """

    def __init__(
        self, rig: Rig, at_once: list[str | None], luck: list[str], *, offers_late: bool, is_prompt: bool
    ) -> None:
        self.rig = rig
        self.caller = WhimsicalCaller(rig.wire, CALLER)
        self.caller.offers_late, self.caller.is_prompt = offers_late, is_prompt
        del rig.snapshot.routes[1].entries[""][len(at_once) :]
        for number in range(len(rig.snapshot.carriers) + 1, len(at_once) + 1):
            add_carrier(rig.snapshot, number)
        for carrier in rig.snapshot.carriers.values():
            carrier.max_sessions = 5  # so that each is asked for a session
            rig.snapshot.link_carrier(carrier)
        self.carriers = [
            WhimsicalCarrier(rig.wire, CARRIERS[number], first)
            for number, first in enumerate(at_once)
            if first is not None
        ]
        self._luck = iter(luck)
        self._delays: list[float] = []
        rig.wire.copies, rig.wire.delay = self._copies, lambda _: self._delays.pop()

    def _copies(self, _: Carried) -> int:
        self._delays = list(FATES[next(self._luck, "comes")])
        return len(self._delays)

    def run(self, script: list[tuple[str, object]]) -> None:
        """Play it."""
        for who, what in script:
            if who == "wait":
                assert isinstance(what, float)
                self.rig.wire.advance(what)
            elif who == "switch":
                self._switch(str(what))
            elif who == "caller":
                self.caller.act(str(what))
            else:
                for carrier in self.carriers:
                    carrier.act(str(what))
            if who != "wait":
                self.rig.wire.settle()

    def _switch(self, what: str) -> None:
        rig = self.rig
        if what == "dial":
            self.caller.dial(SWITCH)
        elif what == "hang up":
            rig.driver.hang_up_all("HANGUP_BY_OPERATOR")
        elif what == "one answer":
            rig.store.is_slow = False
            rig.store.answer()
            rig.store.is_slow = True
            rig.switch.end_of_turn()
        elif what.endswith("store"):
            rig.store.is_slow = what == "slow store"
        else:
            rig.pay(CUSTOMER, "0" if what == "funds run out" else "1000")

    def finish(self) -> None:
        """Nothing is lost or late any more; what was left open is done, and the caller has had enough."""
        self._luck = iter(())
        self.rig.store.is_slow = False
        self.rig.wire.settle()
        agents: list[Whims] = [self.caller, *self.carriers]
        for agent in agents:
            agent.acknowledge_all()
        self.rig.wire.advance(300.0)
        self.caller.give_up()
        self.rig.wire.settle()
        self.rig.wire.advance(200.0)


@given(
    at_once=carriers,
    script=scripts,
    luck=fates,
    offers_late=st.booleans(),
    is_prompt=st.sampled_from([True, True, False]),
)
@settings(max_examples=PLAYS, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_call_ends_and_each_side_sees_what_is_legal_whatever_happens(
    at_once: list[str | None], script: list[tuple[str, object]], luck: list[str], offers_late: bool, is_prompt: bool
) -> None:
    @on_loop
    async def play() -> None:
        with data_directory() as directory, running_rig(directory) as rig, pytest.MonkeyPatch.context() as m:
            m.setattr("time.time", rig.wire.time_of_day)
            play = Play(rig, at_once, luck, offers_late=offers_late, is_prompt=is_prompt)
            with structlog.testing.capture_logs() as logs:
                play.run(script)
                play.finish()
            assert [entry for entry in logs if entry["log_level"] == "error"] == []
            assert find_faults(rig.wire, SWITCH, (CALLER, *CARRIERS)) == []
            rig.assert_nothing_is_left()
            records = rig.records()
            assert [record["is_last"] for record in records].count(True) == 1
            assert records[-1]["is_last"]
            event(" ".join([records[-1]["code"], records[-1]["ended_by"], records[-1]["reason"]]))
            assert len({record["attempt"] for record in records}) == len(records)

    play()
