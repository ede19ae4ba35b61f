"""The forms of routes and of their entries."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from b2bua.account import field as f
from b2bua.account.device import STATUSES
from b2bua.routing import field as r

_ALWAYS: Final[Any] = ""
"""Read as all days, and all hours."""
MODES: Final = {"least_cost": "Least cost", "load_share": "Load sharing"}


class Route(f.Form):
    """What can be changed of a route."""

    mode: Annotated[str, f.field(f.choice("Mode", MODES))] = "least_cost"
    zone: Annotated[str, f.field(r.zone("Time zone"))] = "UTC"
    failover_codes: Annotated[
        tuple[int, ...] | None,
        f.field(lambda typed: r.failover_codes("Failover codes")(typed or r.DEFAULT)),
    ] = None
    ring_failover: Annotated[bool, f.field(f.switch("Next carrier when one rings too long"))] = False
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"

    def columns(self) -> dict[str, Any]:
        """Values of the columns, as JSON has them."""
        return self.model_dump(mode="json", exclude={"name"})


class NewRoute(Route):
    """What a route begins with."""

    name: Annotated[str, f.field(f.text("Name", 100))] = ""


class Entry(f.Form):
    """Which carrier takes numbers with a prefix, and when."""

    prefix: Annotated[str, f.field(r.prefix("Prefix"))] = ""
    carrier: Annotated[str, f.field(f.pattern("Carrier", r.CODE, "one of the list"))] = ""
    priority: Annotated[int, f.field(f.whole("Priority", 0))] = 1
    weight: Annotated[int, f.field(f.whole("Weight", 0))] = 100
    days: Annotated[int, f.field(lambda typed: r.days("Days")(typed or r.ALL))] = _ALWAYS
    hours: Annotated[tuple[str, str], f.field(lambda typed: r.hours("Hours")(typed or r.ALL))] = _ALWAYS
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"

    def columns(self) -> dict[str, Any]:
        """Values of the columns that are the form's own, as JSON has them."""
        values = self.model_dump(mode="json", exclude={"prefix", "carrier", "hours"})
        return values | dict(zip(("hours_from", "hours_until"), self.hours, strict=True))


START: Final[Mapping[str, str]] = {"mode": "least_cost", "zone": "UTC", "status": "active"}
"""What an empty form of a route shows."""
ENTRY_START: Final[Mapping[str, str]] = {"priority": "1", "weight": "100", "status": "active"}


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A route as its form shows it."""
    codes = r.show_failover_codes(row["failover_codes"])
    return {
        "mode": row["mode"],
        "zone": row["zone"],
        "failover_codes": "" if codes == r.DEFAULT else codes,
        "ring_failover": "yes" if row["ring_failover"] else "no",
        "status": row["status"],
    }


def entry_texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """An entry as its form shows it."""
    return {
        "prefix": row["prefix"],
        "carrier": row["carrier"],
        "priority": str(row["priority"]),
        "weight": str(row["weight"]),
        "days": r.show_days(row["days"]),
        "hours": r.show_hours(row["hours_from"], row["hours_until"]),
        "status": row["status"],
    }
