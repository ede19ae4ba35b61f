"""Words for the numbers and codes of call records: SIP reason phrases, Q.850 causes, our own codes."""

from typing import Final

SIP_PHRASES: Final = {
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    400: "Bad Request",
    401: "Unauthorized",
    402: "Payment Required",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    410: "Gone",
    415: "Unsupported Media Type",
    420: "Bad Extension",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    484: "Address Incomplete",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Server Time-out",
    600: "Busy Everywhere",
    603: "Decline",
    604: "Does Not Exist Anywhere",
    606: "Not Acceptable",
}
"""RFC 3261 §21 and its extensions."""

Q850_CAUSES: Final = {
    1: "unallocated number",
    2: "no route to network",
    3: "no route to destination",
    16: "normal clearing",
    17: "user busy",
    18: "no user responding",
    19: "no answer",
    20: "subscriber absent",
    21: "call rejected",
    22: "number changed",
    25: "exchange routing error",
    27: "destination out of order",
    28: "invalid number format",
    31: "normal, unspecified",
    34: "no circuit",
    38: "network out of order",
    41: "temporary failure",
    42: "switching equipment congestion",
    47: "resource unavailable",
    50: "facility not subscribed",
    55: "incoming calls barred",
    57: "bearer capability not authorised",
    58: "bearer capability not available",
    63: "service not available",
    65: "bearer capability not implemented",
    79: "service not implemented",
    88: "incompatible destination",
    102: "recovery on timer expiry",
    111: "protocol error",
    127: "interworking",
}

CODES: Final = {
    "ANSWERED": "The call was answered.",
    "ACCOUNT_INACTIVE": "The account, or one above it, is not active.",
    "ADDRESS_NOT_ALLOWED": "The SIP user may not call from this address.",
    "BAD_REQUEST": "The request could not be understood.",
    "ACCOUNT_SUSPENDED": "The account, or one above it, was suspended while it rang.",
    "BUSY": "The called side is busy.",
    "CLI_BLOCKED": "A rule bars the caller's number.",
    "CLI_NOT_ALLOWED": "No rule allows the caller's number.",
    "DID_INACTIVE": "The number that was called is inactive.",
    "DID_LIMIT": "The channels of the number that was called are used up.",
    "DID_NOT_FOUND": "A carrier called a number that is none of ours.",
    "DO_NOT_DISTURB": "The SIP user that was called wants no calls.",
    "LOSS_ROUTE": "Every carrier costs more than the account pays.",
    "NOT_REGISTERED": "The SIP user that was called is registered nowhere.",
    "NO_MEDIA": "Audio has to cross our machine, and nothing is there to carry it.",
    "NUMBER_BLOCKED": "A rule bars the number that was called.",
    "CANCELLED": "The caller gave up before an answer.",
    "CARRIER_FAILURE": "The carrier refused the call.",
    "CARRIER_LIMIT": "Every carrier is at its limit of calls.",
    "CODEC_NOT_ALLOWED": "None of the offered codecs is in the account's list.",
    "CPS_LIMIT": "More calls per second than the device, the account or a reseller may send.",
    "CURRENCY_MISMATCH": "A tariff has another currency than its account.",
    "DEVICE_INACTIVE": "The device is switched off.",
    "DRAINING": "The switch was shutting down.",
    "HANGUP_BY_OPERATOR": "Somebody hung the call up in the panel or on the command line.",
    "INTERNAL_ERROR": "The switch failed; its log says why.",
    "LIVE_STORE_AWAY": "The live store did not answer.",
    "LOOP": "The call came back to this switch.",
    "NO_ANSWER": "Nobody answered.",
    "NO_DIALING_ROUTE": "No dialing route of the account matches the number.",
    "NO_RATE": "A tariff in the chain has no rate for the number.",
    "NO_RESPONSE": "The gateway did not respond.",
    "NO_ROUTE": "The route has no active carrier and gateway for the number.",
    "NUMBER_NOT_ALLOWED": "No rule of the account allows the destination.",
    "NUMBER_UNKNOWN": "The carrier does not know the number.",
    "OVERLOAD": "The switch had as many calls as it takes.",
    "RATE_BLOCKED": "The rate for the number is blocked.",
    "REJECTED": "The called side declined.",
    "NO_PRACK": "The caller never acknowledged that it rings, though it had asked to.",
    "NO_DIALOG": "The call was to take the place of another one, which the account does not have.",
    "RING_TIMEOUT": "It rang as long as the gateway allows.",
    "SESSION_LIMIT": "As many calls at once as the device, the account or a reseller may have.",
    "NO_FUNDS": "The account or a reseller cannot pay the first seconds of the call.",
    "TARIFF_INACTIVE": "A tariff in the chain is not active.",
    "TRANSPORT_FAILURE": "The gateway could not be reached.",
}
"""What each code of a record means; `b2bua/policy` and `b2bua/call` give them."""


def sip_result(code: int) -> str:
    """A SIP status with its phrase."""
    phrase = SIP_PHRASES.get(code)
    return f"{code} {phrase}" if phrase else str(code)


def q850_cause(cause: int | None) -> str:
    """A Q.850 cause with its name; empty for none."""
    return "" if cause is None else f"Q.850 {cause} {Q850_CAUSES.get(cause, '')}".strip()


def explain(code: str) -> str:
    """What one of our codes means; empty for one that is not known here."""
    return CODES.get(code, "")
