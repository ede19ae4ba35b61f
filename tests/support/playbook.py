"""Flows of a call as a dialogue: `assert Playbook(call) >> event << effect << effect >> event …`.

What stands behind an event is all that it may cause, in order; effects are compared whole, type and fields. On a
mismatch the whole dialogue is shown as a diff. A playbook that nobody asserts is unfinished, and fails its test.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from b2bua.call.controller import Call
from b2bua.call.effects import Effect
from b2bua.call.events import Event

FAILOVER_CODES = frozenset({401, 402, 403, 404, 408, 410, 483, 488, *range(500, 600)})
"""The default of the setting, written out."""


# Plans


@dataclass(slots=True)
class PlannedGateway:
    """A gateway as the controller knows it."""

    name: str = "one"
    invite_timeout: float = 5.0
    progress_timeout: float = 10.0
    ring_timeout: float = 60.0
    max_duration: int | None = None


@dataclass(slots=True)
class Planned:
    """One gateway to try."""

    gateway: PlannedGateway
    only_after: "tuple[Planned, frozenset[str]] | None" = None


@dataclass(slots=True)
class CallPlan:
    """A decision as the controller knows it."""

    code: str = ""
    object: str = ""
    counts_cps: bool = True
    max_duration: int = 7200
    attempts: Sequence[Planned] = field(default_factory=list)
    ring_failover: bool = False
    any_failover: bool = False


def gateways(count: int) -> list[Planned]:
    """The gateways `one`, `two`, … with the default timers."""
    return [Planned(PlannedGateway(name)) for name in ("one", "two", "three", "four")[:count]]


def new_call(
    count: int = 1,
    *,
    offer_in_invite: bool = True,
    failover: Iterable[int] = FAILOVER_CODES,
    ring_failover: bool = False,
    any_failover: bool = False,
) -> Call:
    """A call that may go to so many gateways."""
    plan = CallPlan(attempts=gateways(count), ring_failover=ring_failover, any_failover=any_failover)
    return Call(plan, frozenset(failover), offer_in_invite=offer_in_invite)


def refused_call(code: str, object_: str = "", *, counts_cps: bool) -> Call:
    """A call that was decided against."""
    return Call(CallPlan(code, object_, counts_cps), FAILOVER_CODES, offer_in_invite=True)


# Describing


def slots_of(value: object) -> list[str]:
    """Names of all slots, those of the bases first."""
    names: list[str] = []
    for kind in reversed(type(value).__mro__):
        slots = kind.__dict__.get("__slots__", ())
        names += [slots] if isinstance(slots, str) else list(slots)
    return names


def describe(value: object) -> str:
    """A value as text: its type and all fields, theirs too."""
    if type(value).__repr__ is not object.__repr__:
        return repr(value)
    fields = ", ".join(f"{name}={describe(getattr(value, name))}" for name in slots_of(value))
    return f"{type(value).__name__}({fields})"


def same(one: object, other: object) -> bool:
    """Whether two effects or events are of one type with equal fields."""
    return describe(one) == describe(other)


# The dialogue


class Playbook:
    """A dialogue with a call; true when it went as written, which `assert` asks.

    Args:
        call: Anything with `handle(event) -> effects`.
    """

    def __init__(self, call: Call) -> None:
        self.call = call
        self._steps: list[tuple[str, Any]] = []
        self._expected: list[str] = []
        self._happened: list[str] = []

    def __rshift__(self, event: Event) -> "Playbook":
        self._steps.append((">>", event))
        return self

    def __lshift__(self, effect: Effect) -> "Playbook":
        self._steps.append(("<<", effect))
        return self

    def __bool__(self) -> bool:
        steps, self._steps = self._steps, []
        for direction, value in steps:
            self._expected.append(f"{direction} {describe(value)}")
        for direction, value in steps:
            if direction == ">>":
                self._happened.append(f">> {describe(value)}")
                self._happened += [f"<< {describe(effect)}" for effect in self.call.handle(value)]
        if self._expected != self._happened:
            difference = "\n".join(difflib.ndiff(self._expected, self._happened))
            raise AssertionError(f"the dialogue went otherwise (-: written, +: happened)\n{difference}")
        return True

    def __del__(self) -> None:
        if self._steps:
            raise AssertionError(f"unfinished playbook: {len(self._steps)} steps were never asserted")
