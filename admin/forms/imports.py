"""How a file of rates is to be read and applied."""

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final

from admin.forms.field import Input
from b2bua.account import field as f
from rating.deck_cell import parse_moment

INPUTS: Final = (
    Input(
        "effective",
        "Effective from",
        "In UTC, like 2026-02-01. Empty: rates are changed in place, at once.",
        is_needed=False,
        most=40,
    ),
    Input("factor", "Multiply prices by", "Like 1.1. Empty: as in the file.", "number", is_needed=False, most=20),
    Input("replace", "The file is the whole ratecard", "On: rates that the file lacks are closed.", "switch"),
)


def _moment(typed: str) -> datetime | None:
    if not typed:
        return None
    try:
        return parse_moment(typed)
    except ValueError:
        raise f.Fault("Effective from must be a time in UTC, like 2026-02-01 or 2026-02-01 08:00, or empty") from None


def _factor(typed: str) -> Decimal | None:
    return f.amount("Multiply prices by", above_zero=True)(typed) if typed else None


class Options(f.Form):
    """What is asked beside the file."""

    effective: Annotated[datetime | None, f.field(_moment)] = None
    factor: Annotated[Decimal | None, f.field(_factor)] = None
    replace: Annotated[bool, f.field(f.switch("The file is the whole ratecard"))] = False

    def order(self) -> dict[str, Any]:
        """As the process of a job takes it."""
        return {
            "effective": self.effective.isoformat() if self.effective else "",
            "factor": f"{self.factor:f}" if self.factor else "",
            "replace": self.replace,
        }
