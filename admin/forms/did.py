"""The forms of DIDs."""

from typing import Final

from admin.forms.field import Input
from b2bua.account.device import STATUSES
from b2bua.routing.did import KINDS, MOST_NUMBERS

NUMBERS: Final = Input(
    "numbers",
    "Numbers",
    f"One a line, or ranges like 442079460000-442079460099; {MOST_NUMBERS:,} at most.",
    "textarea",
    is_wide=True,
    most=60_000,
)
ACCOUNT: Final = Input(
    "account", "Account", "Code, like CUST0007. Empty: nobody's.", is_needed=False, is_code=True, most=30
)
CARRIER: Final = Input("carrier", "Carrier", "Who must bring the calls. None: any.", "select", is_needed=False)
CHANNELS: Final = Input(
    "channels",
    "Channels",
    "Calls at a time. Empty: no limit. 0: none.",
    "number",
    unit="calls",
    is_needed=False,
    most=12,
)
STATUS: Final = Input("status", "Status", "Calls to an inactive one are refused.", "radio", STATUSES)

_TARGET_HINT: Final = "SIP login, IP address, extension, or number with its country code."
DESTINATIONS: Final = (
    Input(
        "kind",
        "Calls go to",
        "An outside number is a second call, which the account pays.",
        "select",
        KINDS,
        is_needed=False,
    ),
    Input("target", "Destination", _TARGET_HINT, is_needed=False, is_code=True, most=64),
    Input("failover_kind", "When that fails", "Nowhere: the call ends.", "select", KINDS, is_needed=False),
    Input("failover_target", "Failover destination", _TARGET_HINT, is_needed=False, is_code=True, most=64),
)
ACTS: Final = {"assign": "Assign", "release": "Release", "active": "Activate", "inactive": "Suspend"}
"""What can be done to many."""
