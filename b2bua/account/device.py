"""The forms of IP devices and SIP users, and of the patterns that lead an account's calls to routes."""

import hashlib
import re
import secrets
from typing import Annotated, Any, Final, Self

from pydantic import model_validator

from b2bua.account import field as f

STATUSES: Final = {"active": "Active", "inactive": "Inactive"}
TRANSPORTS: Final = ("udp", "tcp")
SRTP: Final = {"offered": "As offered", "off": "Off", "required": "Required"}
DTMF: Final = {"passed": "As they come", "telephone-event": "Telephone events", "info": "SIP INFO"}
_PREFIX: Final = r"\+?[0-9*#]*%?"


class Device(f.Form):
    """What IP devices and SIP users have in common."""

    max_sessions: Annotated[int | None, f.field(f.limit("Maximum call sessions"))] = None
    cps: Annotated[int | None, f.field(f.limit("Call sessions per second"))] = None
    status: Annotated[str, f.field(f.choice("Status", STATUSES))] = "active"
    srtp: Annotated[str, f.field(lambda typed: f.choice("Encryption", SRTP)(typed or "offered"))] = "offered"
    dtmf: Annotated[str, f.field(lambda typed: f.choice("Digits", DTMF)(typed or "passed"))] = "passed"

    def columns(self) -> dict[str, Any]:
        """Values of the columns, as JSON has them."""
        return self.model_dump(mode="json")


class IPDevice(Device):
    """Calls from an address or a network."""

    address: Annotated[str, f.field(f.network("IP address"))] = ""
    description: Annotated[str, f.field(f.text("Description", 100, needed=False))] = ""
    dial_prefix: Annotated[
        str, f.field(f.pattern("Dial prefix", _PREFIX, "digits, * and #, like 77 or 77%", needed=False))
    ] = ""
    port: Annotated[int, f.field(lambda typed: f.whole("Port", 1, 65535)(typed or "5060"))] = 5060
    transport: Annotated[str, f.field(f.choice("Transport", TRANSPORTS))] = "udp"
    is_trusted: Annotated[bool, f.field(f.switch("Trusted"))] = False


class SIPUser(Device):
    """Calls of somebody who proves who they are."""

    username: Annotated[
        str, f.field(f.pattern("SIP login", r"[A-Za-z0-9._-]{1,64}", "1 to 64 letters, digits, dots, - and _"))
    ] = ""
    extension: Annotated[str, f.field(f.pattern("Extension", r"[0-9*#]{1,32}", "digits, like 1001", needed=False))] = ""
    address: Annotated[str | None, f.field(f.network("IP address", needed=False))] = None
    voice_mail: Annotated[bool, f.field(f.switch("Voice mail"))] = False
    voice_mail_email: Annotated[str, f.field(f.email("Voice mail address", 100))] = ""

    @model_validator(mode="after")
    def _mail_has_an_address(self) -> Self:
        if self.voice_mail and not self.voice_mail_email:
            raise f.misfit("voice_mail_email", "Voice mail address is needed with voice mail, like anna@example.com")
        return self


class DialingRoute(f.Form):
    """Which route what an account dials by a pattern takes."""

    pattern: Annotated[
        str,
        f.field(
            f.pattern(
                "Dialing pattern",
                r"[0-9*#]*(\{[0-9]{1,3}\})?(\|[0-9*#]*)?(\{[0-9]{1,3}\})?%?",
                "digits with an optional |, {N} and % at the end, like 44% or 00|%",
            )
        ),
    ] = ""
    route: Annotated[str, f.field(f.text("Route", 100))] = ""

    @model_validator(mode="after")
    def _names_a_number(self) -> Self:
        if not re.search(r"[0-9*#%]", re.sub(r"\{[0-9]+\}", "", self.pattern)) or self.pattern.count("{") > 1:
            raise f.misfit("pattern", "Dialing pattern must have digits or end in %, and {N} once at most")
        return self


def make_secret() -> str:
    """A secret for a SIP user, of 96 bits."""
    return secrets.token_urlsafe(12)


def ha1_md5(username: str, realm: str, secret: str) -> str:
    """H(A1) of RFC 7616 §3.4.2 with MD5, which is what is kept of a SIP user's secret."""
    return hashlib.md5(f"{username}:{realm}:{secret}".encode(), usedforsecurity=False).hexdigest()
