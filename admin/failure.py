"""Why calls fail, in classes, each with what to do about it."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class FailureClass:
    """Codes with one remedy."""

    name: str
    """As it stands in addresses."""
    title: str
    codes: frozenset[str]
    advice: str
    """What to do, in one sentence."""
    is_fault: bool = True
    """Whether somebody has to do something; a busy line is none's fault."""


def _class(name: str, title: str, codes: str, advice: str, *, is_fault: bool = True) -> FailureClass:
    return FailureClass(name, title, frozenset(codes.split()), advice, is_fault)


CLASSES: Final = (
    _class(
        "unauthorised",
        "Not authorised",
        "ADDRESS_NOT_ALLOWED DEVICE_INACTIVE UNKNOWN_SOURCE",
        "Compare the IP address, the user name and the secret of the device with those of the account.",
    ),
    _class(
        "balance",
        "Not enough money",
        "NO_FUNDS",
        "Add balance or credit to the account that the record names.",
    ),
    _class(
        "account",
        "Account not active",
        "ACCOUNT_INACTIVE ACCOUNT_SUSPENDED TARIFF_INACTIVE",
        "Activate the account, every reseller above it and their tariffs.",
    ),
    _class(
        "limits",
        "Over a limit",
        "SESSION_LIMIT CPS_LIMIT DID_LIMIT CARRIER_LIMIT OVERLOAD",
        "Compare the maximum of sessions and of calls per second with what is sent, then raise it or send less.",
    ),
    _class(
        "rates",
        "No rate or no route",
        "NO_RATE RATE_BLOCKED NO_DIALING_ROUTE NO_ROUTE LOSS_ROUTE CURRENCY_MISMATCH",
        "Look whether the tariff has a rate for the number, and the route a carrier that costs less.",
    ),
    _class(
        "rules",
        "Barred by a number rule",
        "NUMBER_NOT_ALLOWED NUMBER_BLOCKED CLI_BLOCKED CLI_NOT_ALLOWED",
        "Try both numbers in the tester of the account's rules and change the rule that bars them.",
    ),
    _class(
        "number",
        "Wrong number",
        "NUMBER_UNKNOWN DID_NOT_FOUND DID_INACTIVE",
        "Check the number that was dialled, and whether it leaves in the format that the other side expects.",
    ),
    _class(
        "cancelled",
        "Caller hung up",
        "CANCELLED",
        "Nothing is wrong, unless the post-dial delay is long: then callers give up before it rings.",
        is_fault=False,
    ),
    _class(
        "busy",
        "Busy",
        "BUSY DO_NOT_DISTURB",
        "Nothing is wrong: the called side speaks already or wants no calls.",
        is_fault=False,
    ),
    _class(
        "unanswered",
        "Not answered",
        "NO_ANSWER RING_TIMEOUT",
        "Nothing is wrong, unless one destination stands out: then call it over another carrier.",
        is_fault=False,
    ),
    _class(
        "unregistered",
        "Telephone not registered",
        "NOT_REGISTERED",
        "Look at the registrations: the telephone has lost its network, or its user name or secret is another one.",
    ),
    _class(
        "declined",
        "Declined",
        "REJECTED",
        "The called side declined; if it does so often, the caller's number may be barred there.",
    ),
    _class(
        "carrier",
        "Carrier failed",
        "CARRIER_FAILURE NO_RESPONSE TRANSPORT_FAILURE",
        "Look which SIP answer came; if none did, the gateway's address or the way to it is at fault.",
    ),
    _class(
        "audio",
        "No audio possible",
        "CODEC_NOT_ALLOWED NO_MEDIA",
        "Allow a codec that the device offers, or see that the media engine runs.",
    ),
    _class(
        "signalling",
        "Signalling the switch cannot follow",
        "BAD_REQUEST LOOP NO_PRACK NO_DIALOG",
        "Open a record and read its messages: the device or its settings are at fault.",
    ),
    _class(
        "switch",
        "The switch itself",
        "INTERNAL_ERROR LIVE_STORE_AWAY DRAINING HANGUP_BY_OPERATOR",
        "Look at the health of the switch and at its log.",
    ),
)
OTHER: Final = _class("other", "Other", "", "Open a record: its code and its messages say more.")
BY_NAME: Final = {each.name: each for each in CLASSES}
BY_CODE: Final = {code: each for each in CLASSES for code in each.codes}


def failure_class(code: str) -> FailureClass:
    """The class of one of our codes."""
    return BY_CODE.get(code, OTHER)
