"""The form of what is booked by hand."""

from typing import Final

from admin.forms.field import Input
from b2bua.account.payment import EXPIRIES, METHODS, OPTIONS

INPUTS: Final = (
    Input("option", "Option", kind="select", options=OPTIONS),
    Input("amount", "Amount", "In the account's currency, above 0.", "number", most=32),
    Input(
        "paid_by",
        "Method",
        "How money came or went; of no meaning for credit.",
        "select",
        {"": "None: credit", **METHODS},
        is_needed=False,
    ),
    Input(
        "reference", "Reference", "The same one is booked once. Needed unless it is cash or credit.", is_needed=False
    ),
    Input("expires", "Until", "When added credit is taken back by itself.", "select", EXPIRIES, is_needed=False),
    Input("note", "Note", is_needed=False, is_wide=True, most=500),
)
