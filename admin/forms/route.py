"""The forms of routes and of their entries."""

from typing import Final

from admin.forms.field import Input, Section
from b2bua.account.device import STATUSES
from b2bua.routing.route import MODES

NAME: Final = Input("name", "Name", "As dialing routes and records name it. It never changes.", most=100)
"""What only a new route is asked."""
_STATUS: Final = Input("status", "Status", "What is inactive has no part in new calls.", "radio", STATUSES)

SECTIONS: Final = (
    Section(
        "choice",
        "How it chooses",
        "Of its entries with the longest prefix that the number begins with, for each carrier one.",
        (
            Input("mode", "Order within a priority", "By what the carriers cost, or by weight.", "radio", MODES),
            Input("zone", "Time zone", "Of the days and hours of its entries, like Europe/Berlin.", most=60),
            _STATUS,
        ),
    ),
    Section(
        "failover",
        "When a carrier fails",
        "Which answers lead to the next carrier. A call that was answered never moves.",
        (
            Input(
                "failover_codes",
                "Failover codes",
                "SIP answers like 404,5xx. Empty: the system's. none: no answer does.",
                is_needed=False,
                is_code=True,
                most=1000,
            ),
            Input(
                "ring_failover", "Next carrier when one rings too long", "Off: the call ends as not answered.", "switch"
            ),
        ),
    ),
)

_WHERE: Final = (
    Input(
        "prefix", "Prefix", "First digits of the number. Empty: every number.", is_needed=False, is_code=True, most=40
    ),
    Input("carrier", "Carrier", "Who takes them.", "select"),
)
ENTRY: Final = (
    Input("priority", "Priority", "Lower is tried first.", "number", most=10),
    Input("weight", "Weight", "Share among equal priorities, with load sharing.", "number", most=10),
    Input("days", "Days", "Like mon-fri, or sat,sun. Empty: every day.", is_needed=False, most=40),
    Input("hours", "Hours", "Like 08:00-18:00, or 22:00-06:00. Empty: all day.", is_needed=False, most=20),
    _STATUS,
)
NEW_ENTRY: Final = (*_WHERE, *ENTRY)
"""An entry keeps its prefix and carrier: those are what it is."""
