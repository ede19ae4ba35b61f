"""The tabs of a customer: what each lists, and the form of one entry."""

from dataclasses import dataclass
from typing import Annotated, Final

from admin.forms.field import Input
from b2bua.account import field as f
from b2bua.account.device import DTMF, SRTP, STATUSES, TRANSPORTS, DialingRoute, IPDevice, SIPUser
from b2bua.policy.numbers import CLIRule, InvalidRule, NumberRule, Pattern


def _number_rule(typed: str) -> str:
    return _parsed(NumberRule.parse, typed, "like 44%=>% to let through, or 900% to bar")


def _cli_rule(typed: str) -> str:
    return _parsed(CLIRule.parse, typed, "the destination, => and the caller's number, like 44%=>441234567")


def _pattern(typed: str) -> str:
    return _parsed(Pattern.parse, typed, "like 44% or 00|%")


def _parsed(parse: object, typed: str, like: str) -> str:
    assert callable(parse)
    try:
        parse(typed)
    except InvalidRule as error:
        raise f.Fault(f"Rule must be {like}: {error}" if typed else f"Rule is needed, {like}") from None
    return typed


class Rule(f.Form):
    """A rule that translates or bars numbers."""

    rule: Annotated[str, f.field(_number_rule)] = ""


class DestinationCLI(f.Form):
    """A rule for the caller's number by the destination."""

    rule: Annotated[str, f.field(_cli_rule)] = ""


class Dialing(DialingRoute):
    """A dialing route whose pattern the switch can read."""

    pattern: Annotated[str, f.field(_pattern)] = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a tab's list."""

    name: str
    title: str
    css: str = ""
    kind: str = "text"
    """text, code, limit, switch or status."""


@dataclass(frozen=True, slots=True)
class Tab:
    """One tab."""

    name: str
    """In the address."""
    title: str
    one: str
    """One entry, in a sentence."""
    purpose: str
    form: type[f.Form]
    inputs: tuple[Input, ...]
    columns: tuple[Column, ...]
    kind: str = ""
    """Of number rules."""
    setting: str = ""
    """The field of the customer that switches it on."""
    own: str = ""
    """The field of the customer that lets its own logins see and change it; empty: they never do."""


_SESSIONS: Final = Input(
    "max_sessions",
    "Maximum call sessions",
    "Calls at a time. Empty: no limit. 0: none.",
    "number",
    unit="calls",
    is_needed=False,
    most=12,
)
_CPS: Final = Input(
    "cps",
    "Call sessions per second",
    "New calls. Empty: no limit. 0: none.",
    "number",
    unit="calls/s",
    is_needed=False,
    most=12,
)
_MEDIA: Final = (
    Input(
        "srtp",
        "Encryption",
        "Required: it is offered SRTP alone. As offered: over TLS, if the caller does.",
        "radio",
        is_needed=False,
        options=SRTP,
    ),
    Input(
        "dtmf",
        "Digits",
        "How digits come to it. Other than as they come: its calls go through a media engine.",
        "radio",
        is_needed=False,
        options=DTMF,
    ),
)
_STATUS: Final = Input("status", "Status", kind="radio", options=STATUSES)
_LIMITS: Final = (
    Column("max_sessions", "Sessions", "sw-end", "limit"),
    Column("cps", "Calls/s", "sw-end", "limit"),
    Column("status", "Status", "", "status"),
)
RULE_HINT: Final = (
    "LEFT=>RIGHT lets through: 44%=>% as it is, 44|%=>0044% with 44 taken off and 0044 put before. "
    "LEFT alone bars: 900%."
)


def _rules(name: str, title: str, kind: str, what: str) -> Tab:
    return Tab(
        name,
        title,
        f"{title.lower().removesuffix('s').replace('did', 'DID')}",
        f"{what} Of the rules that match, the first of this list wins; where none matches, the call is refused.",
        Rule,
        (Input("rule", "Rule", RULE_HINT, is_code=True, is_wide=True, most=100),),
        (Column("rule", "Rule", "", "code"), Column("effect", "What it does")),
        kind=kind,
        own=f"own_{kind}_rules",
    )


TABS: Final = {
    tab.name: tab
    for tab in (
        Tab(
            "ip-devices",
            "IP devices",
            "IP device",
            "Calls from these addresses are this customer's.",
            IPDevice,
            (
                Input("address", "IP address", "IPv4 or IPv6, or a network like 192.0.2.0/24.", is_code=True, most=60),
                Input("description", "Description", is_needed=False, most=100),
                Input(
                    "dial_prefix",
                    "Dial prefix",
                    "Only numbers that begin so; nothing is taken off. Empty: all.",
                    is_needed=False,
                    is_code=True,
                    most=40,
                ),
                _SESSIONS,
                _CPS,
                Input("port", "Port", "Where calls to it are sent.", "number", is_needed=False, most=5),
                Input("transport", "Transport", kind="radio", options={name: name.upper() for name in TRANSPORTS}),
                Input("is_trusted", "Trusted", "On: its P-Asserted-Identity is the caller's number.", "switch"),
                *_MEDIA,
                _STATUS,
            ),
            (
                Column("address", "IP address", "", "code"),
                Column("description", "Description", "sw-second"),
                Column("dial_prefix", "Dial prefix", "", "code"),
                *_LIMITS,
            ),
            own="own_ip_devices",
        ),
        Tab(
            "sip-users",
            "SIP users",
            "SIP user",
            "Telephones that sign in with a name and a secret. The secret is made up here and shown once.",
            SIPUser,
            (
                Input("username", "SIP login", "1 to 64 letters, digits, dots, - and _.", is_code=True, most=64),
                Input(
                    "extension", "Extension", "Its number within the account.", is_needed=False, is_code=True, most=32
                ),
                Input(
                    "address", "IP address", "Accepted only from there. Empty: from anywhere.", is_needed=False, most=60
                ),
                _SESSIONS,
                _CPS,
                Input("voice_mail", "Voice mail", "Kept for the voice mail to come.", "switch"),
                Input("voice_mail_email", "Voice mail address", kind="email", is_needed=False, most=100),
                *_MEDIA,
                _STATUS,
            ),
            (
                Column("username", "SIP login", "", "code"),
                Column("extension", "Extension", "", "code"),
                Column("address", "IP address", "sw-second", "code"),
                Column("registered", "Registered", "", "registered"),
                *_LIMITS,
            ),
            own="own_sip_users",
        ),
        Tab(
            "dialing-routes",
            "Dialing routes",
            "dialing route",
            "Which route a dialled number takes. The first pattern of this list that matches wins.",
            Dialing,
            (
                Input("pattern", "Dialing pattern", "% for every number; 00|% takes 00 off.", is_code=True, most=60),
                Input("route", "Route", "One that every reseller above may use.", "select"),
            ),
            (Column("pattern", "Dialing pattern", "", "code"), Column("route", "Route")),
        ),
        _rules("source-rules", "Source rules", "source", "What becomes of the caller's number."),
        _rules("destination-rules", "Destination rules", "destination", "What becomes of the number called."),
        _rules("did-source-rules", "DID source rules", "did_source", "The caller's number on calls to its DIDs."),
        _rules(
            "did-destination-rules",
            "DID destination rules",
            "did_destination",
            "The number called on calls to its DIDs.",
        ),
        Tab(
            "cli-rules",
            "CLI by destination",
            "CLI rule",
            "The caller's number by the destination. The first rule whose left side matches the number called wins; "
            "where none does, the number stays.",
            DestinationCLI,
            (
                Input(
                    "rule",
                    "Rule",
                    "44%=>441234567 shows 441234567 on calls to 44…; %=>44% puts 44 before it on all others.",
                    is_code=True,
                    is_wide=True,
                    most=100,
                ),
            ),
            (Column("rule", "Rule", "", "code"), Column("effect", "What it does")),
            kind="cli",
            setting="cli_by_destination",
        ),
    )
}
