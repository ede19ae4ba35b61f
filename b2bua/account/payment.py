"""The form of what is booked by hand: money in and back, credit granted and reduced."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final, Self
from uuid import UUID

from pydantic import model_validator

from b2bua.account import field as f

OPTIONS: Final = {
    "add_balance": "Add balance",
    "refund": "Refund balance",
    "add_credit": "Add credit",
    "reduce_credit": "Reduce credit",
}
KINDS: Final = {
    "add_balance": ("payment", False),
    "refund": ("refund", False),
    "add_credit": ("credit", False),
    "reduce_credit": ("credit", True),
}
"""Of the ledger, and whether it goes against the account."""
METHODS: Final = {"cash": "Cash", "bank_transfer": "Bank transfer", "card": "Debit or credit card", "cheque": "Cheque"}
EXPIRIES: Final = {
    "": "Until it is reduced",
    "4h": "4 hours",
    "12h": "12 hours",
    "24h": "24 hours",
    "2d": "2 days",
    "3d": "3 days",
    "4d": "4 days",
    "7d": "7 days",
}


def _uuid(typed: str) -> UUID:
    try:
        return UUID(typed)
    except ValueError:
        raise f.Fault("Open the form again: it has lost its number") from None


class Payment(f.Form):
    """One entry."""

    option: Annotated[str, f.field(f.choice("Option", OPTIONS))] = ""
    amount: Annotated[Decimal, f.field(f.amount("Amount", needed=True, above_zero=True))] = Decimal(0)
    # Named so, since a form field called `method` hides the form's own.
    paid_by: Annotated[str, f.field(f.choice("Method", {"": "none", **METHODS}))] = ""
    reference: Annotated[str, f.field(f.text("Reference", 100, needed=False))] = ""
    note: Annotated[str, f.field(f.text("Note", 500, needed=False))] = ""
    expires: Annotated[str, f.field(f.choice("Until", EXPIRIES))] = ""
    request_key: Annotated[UUID, f.field(_uuid)] = UUID(int=0)

    @model_validator(mode="after")
    def _fits_its_option(self) -> Self:
        is_money = self.option in {"add_balance", "refund"}
        if is_money and not self.paid_by:
            raise f.misfit("paid_by", "Method is needed for money: how it came or went")
        if is_money and self.paid_by != "cash" and not self.reference:
            raise f.misfit("reference", "Reference is needed unless it is cash, like the number of the transfer")
        if self.expires and self.option != "add_credit":
            raise f.misfit("expires", "Only credit that is added ends by itself")
        return self

    @property
    def lasts(self) -> timedelta | None:
        """How long added credit lasts."""
        if not self.expires:
            return None
        unit = {"h": timedelta(hours=1), "d": timedelta(days=1)}[self.expires[-1]]
        return int(self.expires[:-1]) * unit
