"""The forms of DIDs: whose they are, where calls to them go, and many numbers at once (docs/behaviour.md §8)."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Final, Self

from pydantic import model_validator

from b2bua.account import field as f
from b2bua.account.device import STATUSES
from b2bua.routing import field as r

KINDS: Final = {
    "": "Nowhere",
    "sip_user": "SIP user",
    "ip_device": "IP device",
    "extension": "Extension",
    "number": "Outside number",
}
"""Where calls to a DID may go."""
TARGETS: Final = {
    "sip_user": ("[A-Za-z0-9._-]{1,64}", "the name of a SIP user"),
    "ip_device": ("[0-9A-Fa-f.:]{2,45}", "the address of an IP device, like 192.0.2.10"),
    "extension": (r"[0-9*#]{1,32}", "an extension, like 1001"),
    "number": (r"\+?[0-9*#]{1,32}", "a number with its country code, like 442079460000"),
}
"""What each kind is followed by, and how that is said."""
MOST_NUMBERS: Final = 10_000
"""In one form."""
MOST_LINES: Final = 2_000

_CODE: Final = f.pattern("Account", r.CODE, "a code, like CUST0007", needed=False)
_CARRIER: Final = f.pattern("Carrier", r.CODE, "one of the list", needed=False)


def number_list(label: str) -> f.Read:
    """Numbers, one a line or with commas between; `442079460000-442079460099` are all of a range."""

    def read(typed: str) -> tuple[str, ...]:
        lines = [line.strip() for line in re.split(r"[\n,;]", typed) if line.strip()]
        if not lines:
            raise f.Fault(f"{label} are needed: one a line, or a range like 442079460000-442079460099")
        if len(lines) > MOST_LINES:
            raise f.Fault(f"{label} must be at most {MOST_LINES:,} lines; these are {len(lines):,}")
        found: dict[str, None] = {}
        for line in lines:
            found.update(dict.fromkeys(islice(_numbers_of(label, line), MOST_NUMBERS + 1)))
            if len(found) > MOST_NUMBERS:
                raise f.Fault(f"{label} must be at most {MOST_NUMBERS:,} at a time")
        return tuple(found)

    return read


def _numbers_of(label: str, line: str) -> Iterable[str]:
    first, dash, last = line.partition("-")
    begin = _number(label, first)
    if not dash:
        return [begin]
    end = _number(label, last)
    if len(begin) != len(end) or begin > end:
        raise f.Fault(f"{label} must have ranges from the smaller to the larger, both as long, not {line}")
    return (str(number).zfill(len(begin)) for number in range(int(begin), int(end) + 1))


def _number(label: str, typed: str) -> str:
    try:
        found: str = r.did_number(label)(typed.strip())
    except f.Fault:
        raise f.Fault(f"{label} must each have 3 to 20 digits with the country code, not {typed.strip()!r}") from None
    return found


def in_ranges(found: Iterable[str]) -> str:
    """Numbers as they can be typed again: those that follow each other as a range."""
    parts: list[tuple[str, str]] = []
    for number in sorted(found, key=lambda each: (len(each), each)):
        first, last = parts[-1] if parts else ("", "")
        if last and len(last) == len(number) and int(last) + 1 == int(number):
            parts[-1] = (first, number)
        else:
            parts.append((number, number))
    return ", ".join(first if first == last else f"{first}-{last}" for first, last in parts)


class Assignment(f.Form):
    """Whose a DID is, and how many calls at a time come over it."""

    account: Annotated[str, f.field(_CODE)] = ""
    channels: Annotated[int | None, f.field(f.limit("Channels"))] = None
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"


class DID(Assignment):
    """The same with who must bring the calls."""

    carrier: Annotated[str, f.field(_CARRIER)] = ""


class NewDIDs(DID):
    """DIDs to make."""

    numbers: Annotated[tuple[str, ...], f.field(number_list("Numbers"))] = ()


class Destinations(f.Form):
    """Where calls to a DID go, and where when that fails."""

    kind: Annotated[str, f.field(f.choice("Calls go to", KINDS))] = ""
    target: Annotated[str, f.field(f.text("Destination", 64, needed=False))] = ""
    failover_kind: Annotated[str, f.field(f.choice("When that fails", KINDS))] = ""
    failover_target: Annotated[str, f.field(f.text("Failover destination", 64, needed=False))] = ""

    @model_validator(mode="after")
    def _targets_fit(self) -> Self:
        for name, kind, target in (
            ("target", self.kind, self.target),
            ("failover_target", self.failover_kind, self.failover_target),
        ):
            if kind and re.fullmatch(TARGETS[kind][0], target) is None:
                what = "Destination" if name == "target" else "Failover destination"
                raise f.misfit(name, f"{what} must be {TARGETS[kind][1]}")
        if self.failover_kind and not self.kind:
            raise f.misfit("kind", "There is no failover without a destination: choose where calls go first")
        if self.kind and (self.kind, self.target) == (self.failover_kind, self.failover_target):
            raise f.misfit("failover_target", "Failover destination must be another than the destination")
        return self

    @property
    def wanted(self) -> list[tuple[str, str, str]]:
        """Field, kind and target of each destination, the first to be tried first."""
        both = (("target", self.kind, self.target), ("failover_target", self.failover_kind, self.failover_target))
        return [each for each in both if each[1]]


START: Final[Mapping[str, str]] = {"status": "active"}
"""What an empty form shows."""


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A DID as its form shows it."""
    return {
        "account": row["account"] or "",
        "carrier": row["carrier"] or "",
        "channels": "" if row["channels"] is None else str(row["channels"]),
        "status": row["status"],
    }
