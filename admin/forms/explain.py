"""The form that asks what would become of a call."""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any, Final

from admin.forms.field import Input
from media.sdp import CodecList

MOST: Final = 128
"""Characters of a field."""

INPUTS: Final = (
    Input("source", "Caller's number", "As it comes.", is_needed=False, is_code=True, most=MOST),
    Input("destination", "Number called", "As it is dialled.", is_code=True, most=MOST),
    Input(
        "account",
        "Account",
        "Code, like CUST0007; alone: a call of none of its devices.",
        is_needed=False,
        is_code=True,
        most=MOST,
    ),
    Input(
        "address",
        "Address of the device",
        "Where the call comes from, like 198.51.100.7.",
        is_needed=False,
        is_code=True,
        most=MOST,
    ),
    Input("user", "SIP user", "That has proved its secret.", is_needed=False, is_code=True, most=MOST),
    Input("codecs", "Codecs", "Offered, like PCMA, G729. Empty: none are named.", is_needed=False, most=400),
    Input("at", "Time (UTC)", "Like 2026-01-31 08:00. Empty: now.", is_needed=False, most=40),
)


def read_question(values: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What a worker is asked, and what is wrong with it by field.

    Args:
        values: Texts of the fields.
    """
    question: dict[str, Any] = {name: values.get(name, "") for name in ("source", "destination", "account", "user")}
    question["account"] = question["account"].upper()
    errors: dict[str, str] = {}
    if not question["destination"]:
        errors["destination"] = "Number called must be given, like 442079460000"
    if not (values.get("account") or values.get("address") or values.get("user")):
        errors["account"] = "Whose call it is must be said: an account, an address or a SIP user"
    for name, read, like in (
        ("address", _address, "Address must be one IPv4 or IPv6 address, like 198.51.100.7"),
        ("codecs", _codecs, "Codecs must be names with commas between, like PCMA, G729"),
        ("at", _moment, "Time must be a day and an hour, like 2026-01-31 08:00"),
    ):
        try:
            question[name] = read(values.get(name, "").strip())
        except (ValueError, OverflowError):
            errors[name] = like
    return question, errors


def _address(text: str) -> str:
    return str(ip_address(text)) if text else ""


def _codecs(text: str) -> list[str]:
    return list(CodecList.of([name.strip() for name in text.split(",") if name.strip()]).names)


def _moment(text: str) -> str | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).isoformat()
