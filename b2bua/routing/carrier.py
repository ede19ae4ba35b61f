"""The form of a carrier: every field with its rule. Names are those of the columns, but for `tariff` and the taxes."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any, Final

from b2bua.account import field as f
from b2bua.account.customer import ROUNDINGS, plain
from b2bua.account.device import STATUSES
from b2bua.routing import field as r

_NOT_COLUMNS: Final = frozenset({"tariff", "tax_1", "tax_2", "tax_3", "code", "currency"})


class Carrier(f.Form):
    """What can be changed of a carrier."""

    name: Annotated[str, f.field(f.text("Name", 100))] = ""
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"
    tariff: Annotated[str, f.field(f.text("Tariff", 100, needed=False))] = ""
    codecs: Annotated[tuple[str, ...], f.field(f.codecs("Codec list"))] = ()
    max_sessions: Annotated[int | None, f.field(f.limit("Maximum call sessions"))] = None
    cps: Annotated[int | None, f.field(f.limit("Call sessions per second"))] = None
    decimals: Annotated[int, f.field(f.whole("Billing decimals", 0, 10))] = 4
    rounding: Annotated[str, f.field(f.choice("Rounding", ROUNDINGS))] = "ROUND"
    tax_inclusive: Annotated[bool, f.field(f.switch("Prices include the tax"))] = False
    tax_1: Annotated[Decimal | None, f.field(f.percent("Tax 1"))] = None
    tax_2: Annotated[Decimal | None, f.field(f.percent("Tax 2"))] = None
    tax_3: Annotated[Decimal | None, f.field(f.percent("Tax 3"))] = None

    def columns(self) -> dict[str, Any]:
        """Values of the columns that are the form's own, as JSON has them."""
        values = self.model_dump(mode="json", exclude=set(_NOT_COLUMNS))
        percents = [percent for percent in (self.tax_1, self.tax_2, self.tax_3) if percent is not None]
        return values | {"tax_percents": [str(percent) for percent in percents]}


class NewCarrier(Carrier):
    """What a carrier begins with."""

    code: Annotated[str, f.field(f.pattern("Code", r.CODE, "four capital letters and digits, like CARR0001"))] = ""
    currency: Annotated[str, f.field(f.pattern("Currency", "[A-Z]{3}", "like EUR", needed=False))] = ""


START: Final[Mapping[str, str]] = {"status": "active", "decimals": "4", "rounding": "ROUND"}
"""What an empty form shows."""


def texts_of(row: Mapping[str, Any]) -> dict[str, str]:
    """A carrier as its form shows it."""
    percents = [plain(percent) for percent in row["tax_percents"]] + ["", "", ""]
    texts = {
        "name": row["name"],
        "status": row["status"],
        "tariff": row["tariff"] or "",
        "codecs": ", ".join(row["codecs"]),
        "max_sessions": "" if row["max_sessions"] is None else str(row["max_sessions"]),
        "cps": "" if row["cps"] is None else str(row["cps"]),
        "decimals": str(row["decimals"]),
        "rounding": row["rounding"],
        "tax_inclusive": "yes" if row["tax_inclusive"] else "no",
    }
    return texts | dict(zip(("tax_1", "tax_2", "tax_3"), percents, strict=False))
