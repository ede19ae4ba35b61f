"""The forms of tariffs, of the ratecards in them, and of rates."""

from typing import Final

from admin.forms.field import Input
from b2bua.account.tariff import BLOCKS_MODES, DIRECTIONS, KINDS, RATE_STATUSES, STATUSES

KIND: Final = Input("kind", "For", "What accounts pay, or what a carrier costs.", kind="radio", options=KINDS)
TARIFF: Final = (
    Input("name", "Name", most=100),
    KIND,
    Input("currency", "Currency", "Three letters, like EUR: of all its rates.", is_code=True, most=3),
    Input("status", "Status", "Inactive: calls that it would price are refused.", kind="radio", options=STATUSES),
)
RATECARD: Final = (
    Input("name", "Name", most=100),
    Input("direction", "Direction", kind="radio", options=DIRECTIONS),
)
MAPPING: Final = (
    Input("ratecard", "Ratecard", kind="select"),
    Input("priority", "Priority", "Where ratecards have the same prefix, the lower counts.", "number", most=9),
    Input("days", "Days", "Like mon-fri or sat,sun. Empty: every day.", is_needed=False, most=40),
    Input("hours_from", "From", "Like 08:00. Empty: midnight.", is_needed=False, most=5),
    Input("hours_until", "Until", "Earlier than from: on the next day. Empty: midnight.", is_needed=False, most=5),
    Input("zone", "Time zone", "Of its days and hours, like Europe/Berlin.", is_needed=False, most=50),
)
OF_DIDS: Final = (
    Input("setup", "Set-up", "Charged once for a DID.", "number", is_needed=False, most=40),
    Input("rental", "Rental", "Charged for a DID each billing period.", "number", is_needed=False, most=40),
    Input("channels", "Channels", "Included in the rental. Empty: no limit.", "number", is_needed=False, most=12),
)
RATE: Final = (
    Input("prefix", "Prefix", "The longest that a number begins with counts. %: every number.", is_code=True, most=32),
    Input("destination", "Destination", is_needed=False, most=200),
    Input("rate_per_minute", "Rate per minute", "Up to 10 decimals, like 0.0125.", "number", most=40),
    Input("connection_charge", "Connection charge", "Added once a call.", "number", is_needed=False, most=40),
    Input("minimum", "Minimum", "Billed at least.", "number", unit="s", is_needed=False, most=12),
    Input(
        "resolution", "Resolution", "Billed in whole blocks of so long.", "number", unit="s", is_needed=False, most=12
    ),
    Input("blocks_mode", "Blocks", "Whether blocks count from zero or after the minimum.", "radio", BLOCKS_MODES),
    Input("grace", "Grace", "A shorter call is free.", "number", unit="s", is_needed=False, most=12),
    Input("multiplier", "Multiplier", "Of the price for time.", "number", is_needed=False, most=40),
    Input("addition", "Addition", "Added once a call.", "number", is_needed=False, most=40),
    *OF_DIDS,
    Input("valid_from", "Valid from", "In UTC, like 2026-01-31 08:00. Empty: always was.", is_needed=False, most=40),
    Input("valid_until", "Valid until", "The moment is outside. Empty: for good.", is_needed=False, most=40),
    Input("status", "Status", "Blocked: calls to the prefix are refused.", kind="radio", options=RATE_STATUSES),
)

START: Final = {
    "kind": "customer",
    "status": "active",
    "direction": "outgoing",
    "priority": "1",
    "zone": "UTC",
    "minimum": "1",
    "resolution": "1",
    "blocks_mode": "from_zero",
    "multiplier": "1",
}
"""What empty forms show."""
