"""The sections of the forms of carriers and gateways, and the tabs of a carrier's number rules."""

from typing import Final

from admin.forms.field import Input, Section
from admin.forms.tab import RULE_HINT, Column, Rule, Tab
from b2bua.account.customer import ROUNDINGS
from b2bua.account.device import DTMF, SRTP, STATUSES
from b2bua.routing.gateway import DIVERSIONS, IDENTITIES, RELIABLE_RINGING, TLS_VERIFY, TRANSPORTS

_STATUS: Final = Input("status", "Status", "What is inactive has no part in new calls.", "radio", STATUSES)
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


def _seconds(name: str, label: str, hint: str, *, is_needed: bool = True) -> Input:
    return Input(name, label, hint, "number", unit="seconds", is_needed=is_needed, most=10)


NEW: Final = (
    Input("code", "Code", "Four capital letters and at least four digits. It never changes.", is_code=True, most=30),
    Input("currency", "Currency", "Like EUR. Empty: the tariff's. It never changes.", is_needed=False, most=3),
)
"""What only a new carrier is asked."""

SECTIONS: Final = (
    Section(
        "identity",
        "Carrier",
        "Who takes our calls onward, and brings calls to our DIDs.",
        (Input("name", "Name", most=100), _STATUS),
    ),
    Section(
        "calls",
        "Calls",
        "How many of all its gateways together, and what they may sound like.",
        (
            _SESSIONS,
            _CPS,
            Input(
                "codecs",
                "Codec list",
                "The preferred first, with commas between. Empty: whatever is offered.",
                kind="list",
                is_needed=False,
                is_wide=True,
            ),
        ),
    ),
    Section(
        "billing",
        "What it costs",
        "Calls go to a carrier only where its tariff has a rate for the number.",
        (
            Input("tariff", "Tariff", "Prices that we pay. Empty: it takes no calls.", "select", is_needed=False),
            Input("decimals", "Billing decimals", "Decimals of a call's price, 0 to 10.", "number", most=3),
            Input("rounding", "Rounding", "Of the last decimal.", "select", ROUNDINGS),
            Input("tax_inclusive", "Prices include the tax", "Off: it is added to them.", "switch"),
            Input("tax_1", "Tax 1", unit="%", kind="number", is_needed=False, most=10),
            Input("tax_2", "Tax 2", unit="%", kind="number", is_needed=False, most=10),
            Input("tax_3", "Tax 3", unit="%", kind="number", is_needed=False, most=10),
        ),
    ),
)

NAME: Final = Input("name", "Name", "As lists and records name it. It never changes.", most=100)
"""What only a new gateway is asked."""

GATEWAY_SECTIONS: Final = (
    Section(
        "place",
        "Where it is",
        "Calls from this address are the carrier's, too.",
        (
            Input("host", "Address", "IPv4, IPv6, or a host name that DNS knows.", is_code=True, most=253),
            Input("port", "Port", "Empty: found by DNS, or 5060, with TLS 5061.", "number", is_needed=False, most=5),
            Input("transport", "Transport", "Of calls to it.", "select", TRANSPORTS),
            Input(
                "prefers_tcp",
                "TCP for large requests",
                "On: a request above 1,300 bytes goes by TCP where UDP is chosen.",
                "switch",
            ),
            Input("tls_verify", "Certificate", "What it has to show, with TLS and WSS.", "select", TLS_VERIFY),
            _STATUS,
        ),
    ),
    Section(
        "share",
        "Share and limits",
        "Which gateway of the carrier gets a call, and how many it takes.",
        (
            Input("priority", "Priority", "Lower is tried first.", "number", most=10),
            Input("weight", "Weight", "Share among equal priorities. 0: only after the others.", "number", most=10),
            _SESSIONS,
            _CPS,
            _seconds("max_duration", "Maximum call duration", "Empty: no limit of its own.", is_needed=False),
        ),
    ),
    Section(
        "timers",
        "Timers",
        "How long a call waits here before the next gateway is tried, and how we know that it is up.",
        (
            _seconds("invite_timeout", "Longest silence", "After INVITE, until anything is answered."),
            _seconds("progress_timeout", "Longest wait for ringing", "Until 180 or 183."),
            _seconds("ring_timeout", "Longest ringing", "Then the call ends, or goes on as its route says."),
            _seconds("session_timer", "Session timer", "That we ask for, from 90. Empty: none.", is_needed=False),
            _seconds("probe_interval", "Probing", "Time between OPTIONS. 0: none is sent."),
        ),
    ),
    Section(
        "caller",
        "Caller",
        "How it is told who calls. A caller who asks for privacy is never named outside these headers.",
        (
            Input("identity", "Identity", "The header with the caller's number.", "select", IDENTITIES),
            Input("diversion", "Diversion", "Who sent the call on before.", "select", DIVERSIONS),
            Input(
                "from_user", "From user", "In place of the caller's number.", is_needed=False, is_code=True, most=128
            ),
            Input("from_domain", "From host", "In place of our address.", is_needed=False, is_code=True, most=253),
            Input("is_trusted", "Trusted", "On: its P-Asserted-Identity is the caller's number.", "switch"),
        ),
    ),
    Section(
        "headers",
        "Headers",
        "What goes along beside what we write ourselves.",
        (
            Input(
                "passed_headers",
                "Headers that go along",
                "Names with commas between, like X-A, X-B. Empty: none of the caller's.",
                is_needed=False,
                is_code=True,
                is_wide=True,
                most=1000,
            ),
            Input(
                "added_headers",
                "Added headers",
                "One a line, like X-Trunk: 7.",
                "textarea",
                is_needed=False,
                is_code=True,
                is_wide=True,
                most=8000,
            ),
        ),
    ),
    Section(
        "signalling",
        "Ringing and redirects",
        "What we ask of it, and what we do when it sends a call elsewhere.",
        (
            Input(
                "reliable_ringing", "Reliable ringing (100rel)", "Ringing is acknowledged.", "select", RELIABLE_RINGING
            ),
            Input("follows_redirects", "Follow redirects", "On: its 3xx answers are followed, five at most.", "switch"),
        ),
    ),
    Section(
        "media",
        "Media",
        "Calls with required encryption or converted digits go through a media engine.",
        (
            Input(
                "srtp", "Encryption", "What it is offered. As offered: over TLS, if the caller does.", "select", SRTP
            ),
            Input("dtmf", "Digits", "How digits come to it.", "select", DTMF),
        ),
    ),
    Section(
        "registration",
        "Proof and registration",
        "Who we are there, where it asks.",
        (
            Input(
                "auth_user",
                "User name",
                "For digest. Empty: we prove nothing.",
                is_needed=False,
                is_code=True,
                most=128,
            ),
            Input("auth_secret", "Secret", "Kept encrypted and never shown.", "password", is_needed=False, most=128),
            Input("forgets_secret", "Forget the secret", "On: the one that is kept is removed.", "switch"),
            Input("registers", "Register", "On: we register there.", "switch"),
            _seconds("register_expires", "Registered for", "Time that we ask for, from 60."),
        ),
    ),
)


def _rules(name: str, title: str, kind: str, what: str) -> Tab:
    return Tab(
        name,
        title,
        "rule",
        f"{what} Of the rules that match, the first of this list wins; where none matches, the call is refused.",
        Rule,
        (Input("rule", "Rule", RULE_HINT, is_code=True, is_wide=True, most=100),),
        (Column("rule", "Rule", "", "code"), Column("effect", "What it does")),
        kind=kind,
    )


RULE_TABS: Final = {
    tab.name: tab
    for tab in (
        _rules("source-rules", "Outgoing source", "source", "The caller's number on calls to the carrier."),
        _rules(
            "destination-rules", "Outgoing destination", "destination", "The number called, as the carrier gets it."
        ),
        _rules("did-source-rules", "Incoming source", "did_source", "The caller's number on calls from the carrier."),
        _rules(
            "did-destination-rules",
            "Incoming destination",
            "did_destination",
            "The number called on calls from the carrier: what it becomes is looked for among the DIDs.",
        ),
    )
}
