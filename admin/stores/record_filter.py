"""What call records are narrowed to: the fields of the list, how each is read, and the conditions of the query."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import Any, Final

from admin import failure
from admin.format import input_time, parse_input_time
from admin.scope import Scope

DIRECTIONS: Final = {
    "outgoing": "Outgoing",
    "on_net": "Inside the switch",
    "incoming": "Incoming",
    "emergency": "Emergency",
}
ENDED_BY: Final = {"caller": "Caller", "callee": "Called side", "system": "This switch"}
LONGEST: Final = 1_000_000
"""Seconds; more than any call lasts."""
TIME: Final = "datetime-local"


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _digits(text: str) -> str:
    """Numbers may be written in any way."""
    return re.sub(r"[^0-9*#A-Za-z]", "", text)[:40]


def _words(text: str) -> str:
    return text.strip()[:100]


def _whole(highest: int) -> Callable[[str], str]:
    def read(text: str) -> str:
        text = text.strip()
        is_number = text.isascii() and text.isdecimal() and len(text) <= 9
        return str(int(text)) if is_number and int(text) <= highest else ""

    return read


def _one_of(*names: str) -> Callable[[str], str]:
    return lambda text: text if text in names else ""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the list."""

    title: str
    read: Callable[[str], str] = str
    """What was typed as it is kept; empty for what cannot be meant."""
    value: Callable[[str], Any] = str
    """The parameter of the query."""
    kind: str = "text"
    """`text`, `number`, `select`, or `datetime-local`, which the filter reads in its zone."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of a select, the empty one left out."""
    hint: str = ""
    is_of_carrier: bool = False
    """Shown to those only who may see the carriers' side."""


FIELDS: Final = {
    "account": Field("Account", lambda text: text.strip().upper()[:40], str, hint="CUST0007"),
    "company": Field("Company", _words, lambda text: f"%{_like(text)}%"),
    "since": Field("From", kind=TIME),
    "until": Field("Until", kind=TIME),
    "source": Field("Caller begins with", _digits, lambda text: f"{text}%", hint="4420"),
    "destination": Field("Called number begins with", _digits, lambda text: f"{text}%", hint="49"),
    "direction": Field("Direction", _one_of(*DIRECTIONS), str, "select", DIRECTIONS),
    "device": Field("Device", lambda text: text.strip().lower()[:40], str, hint="ip:7 or user:9"),
    "address": Field("Caller's address begins with", _words, lambda text: f"{_like(text)}%", hint="192.0.2.1"),
    "shortest": Field("Duration at least (s)", _whole(LONGEST), int, "number"),
    "longest": Field("Duration at most (s)", _whole(LONGEST), lambda text: int(text) + 1, "number"),
    "sip": Field("SIP code", _whole(699), int, "number", hint="503"),
    "cause": Field("Q.850 cause", _whole(127), int, "number", hint="0: none given"),
    "failure": Field(
        "Why it failed",
        _one_of(*failure.BY_NAME),
        lambda text: sorted(failure.BY_NAME[text].codes),
        "select",
        {each.name: each.title for each in failure.CLASSES},
    ),
    "ended_by": Field("Ended by", _one_of(*ENDED_BY), str, "select", ENDED_BY),
    "carrier": Field("Carrier", _words, str, hint="Code or name", is_of_carrier=True),
    "gateway": Field("Gateway", _words, str, is_of_carrier=True),
    "sent": Field(
        "Number sent to the carrier", _digits, lambda text: f"%{text}%", hint="Caller or called", is_of_carrier=True
    ),
    "carrier_address": Field(
        "Carrier's address begins with", _words, lambda text: f"{_like(text)}%", is_of_carrier=True
    ),
    "attempts": Field("Attempts", _one_of("last"), str, "select", {"last": "The last of a call"}, is_of_carrier=True),
}
"""Those behind "Filters", in their order; `number` and `result` stand before them."""

_ALL: Final = {
    "number": Field("Number", _digits, lambda text: f"%{text}%"),
    "result": Field("Result", lambda text: text.strip()[:40], str),
    **FIELDS,
}

MATCHES: Final = """
    ($1::bigint IS NULL OR cdr.account_id = $1)
    AND ($2::bigint IS NULL OR cdr.account_chain @> ARRAY[$2])
    AND ($3::bigint IS NULL OR cdr.account_id = $3)
    AND ($4::bigint IS NULL OR cdr.account_chain @> ARRAY[$4])
    AND ($5::timestamptz IS NULL OR cdr.received_at >= $5)
    AND ($6::timestamptz IS NULL OR cdr.received_at < $6)
    AND (NOT $7::boolean OR cdr.is_last)
    AND ($8::boolean IS NULL OR (cdr.code = 'ANSWERED') = $8)
    AND ($9::text IS NULL OR cdr.code = $9)
    AND ($10::text[] IS NULL OR cdr.code = ANY ($10))
    AND ($11::text IS NULL OR cdr.source_received ILIKE $11 OR cdr.destination_received ILIKE $11)
    AND ($12::text IS NULL OR cdr.source_received ILIKE $12)
    AND ($13::text IS NULL OR cdr.destination_received ILIKE $13 OR cdr.destination_used ILIKE $13)
    AND ($13::text IS NULL OR coalesce(nullif(cdr.destination_used, ''), cdr.destination_received) ILIKE $13)
    AND ($14::text IS NULL OR cdr.kind = $14)
    AND ($15::text IS NULL OR cdr.device = $15)
    AND ($16::text IS NULL OR (cdr.a_address LIKE $16
                               AND (cdr.kind <> 'incoming' OR ($1::bigint IS NULL AND $2::bigint IS NULL))))
    AND ($17::numeric IS NULL OR cdr.duration >= $17)
    AND ($18::numeric IS NULL OR cdr.duration < $18)
    AND ($19::smallint IS NULL OR cdr.sip_code = $19)
    AND ($20::smallint IS NULL OR cdr.q850_cause = $20 OR ($20 = 0 AND cdr.q850_cause IS NULL))
    AND ($21::text IS NULL OR cdr.ended_by = $21)
    AND ($22::bigint[] IS NULL OR cdr.account_id = ANY ($22))
    AND ($23::bigint[] IS NULL OR cdr.carrier_id = ANY ($23))
    AND ($24::bigint[] IS NULL OR cdr.gateway_id = ANY ($24))
    AND ($25::text IS NULL OR cdr.source_sent ILIKE $25 OR cdr.destination_sent ILIKE $25)
    AND ($26::text IS NULL OR cdr.b_address LIKE $26)
    AND ($27::text IS NULL OR cdr.account_id IN (SELECT account.id FROM account WHERE account.company ILIKE $27))
"""
"""The conditions, for the parameters that `RecordFilter.parameters` gives; those that are NULL fall away in the plan.

The caller of an incoming call is a carrier: only staff, whose scope has no account, finds it by its address.
"""

PARAMETERS: Final = 27

_ACCOUNT: Final = "SELECT id, kind FROM account WHERE code = $1"
_NAMED: Final = {
    "company": "SELECT array_agg(id) FROM (SELECT id FROM account WHERE company ILIKE $1 LIMIT $2) AS found",
    "carrier": """
        SELECT array_agg(id) FROM (SELECT id FROM carrier WHERE code = upper($1) OR name ILIKE $1 LIMIT $2) AS found
    """,
    "gateway": "SELECT array_agg(id) FROM (SELECT id FROM gateway WHERE name = $1 LIMIT $2) AS found",
}
FEW: Final = 1000
"""So many accounts of a company are looked up beforehand; of more the records are soon found by reading the list."""
_ORDER: Final = (
    *("number", "source", "destination", "direction", "device", "address", "shortest", "longest", "sip", "cause"),
    *("ended_by", "company", "carrier", "gateway", "sent", "carrier_address"),
)
"""Fields of $11 to $26; companies, carriers and gateways by their ids."""


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """What the list is narrowed to; a field that was not set does not narrow it."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """By name, as far as they are set."""
    zone: tzinfo = UTC
    """On whose clock its times are."""

    @classmethod
    def read(cls, query: Mapping[str, str], zone: tzinfo) -> "RecordFilter":
        """Take the fields of an address, whose times are on the clock of a zone; what cannot be meant is left out."""
        typed = {name: each.read(query.get(name, "")) for name, each in _ALL.items()}
        # As the clock has them: an hour that it leaves out is the next.
        times = {
            name: input_time(parse_input_time(typed[name], zone), zone)
            for name, each in _ALL.items()
            if each.kind == TIME
        }
        return cls({name: text for name, text in (typed | times).items() if text}, zone)

    @property
    def query(self) -> dict[str, str]:
        """The fields of an address."""
        return dict(self.fields)

    @property
    def has_more(self) -> bool:
        """Whether a field behind "Filters" is set."""
        return any(name in self.fields for name in FIELDS)

    @property
    def names_carriers(self) -> bool:
        """Whether it asks for what only those know who see the carriers' side."""
        return any(_ALL[name].is_of_carrier for name in self.fields if name != "attempts")

    def get(self, name: str) -> str:
        """What a field is set to; empty for nothing."""
        return self.fields.get(name, "")

    def title(self, name: str) -> str:
        """What a field is called: From (Europe/Berlin)."""
        each = _ALL[name]
        return f"{each.title} ({self.zone})" if each.kind == TIME else each.title

    @property
    def chips(self) -> dict[str, str]:
        """What to call each field that is set."""
        return {name: f"{self.title(name)}: {_shown(name, text)}" for name, text in self.fields.items()}

    async def parameters(self, connection: Any, scope: Scope) -> tuple[Any, ...]:  # noqa: ANN401 - asyncpg's connection
        """The parameters of MATCHES.

        A customer is narrowed to by its id, so that the index of its records serves; a reseller by what is below it.
        """
        exact, top = None, None
        if code := self.get("account"):
            row = await connection.fetchrow(_ACCOUNT, code)
            if row is not None and row["kind"] == "reseller":
                top = row["id"]
            else:
                exact = row["id"] if row is not None else 0
        last_only = scope.account_id is not None or self.get("attempts") == "last"
        result = self.get("result")
        answered = {"answered": True, "failed": False}.get(result)
        wanted = result.upper() if result and answered is None else None
        values = {name: self._value(name) for name in _ORDER}
        of_many = None
        for name, query in _NAMED.items():
            if values[name] is not None:
                most = FEW + 1 if name == "company" else None
                ids = await connection.fetchval(query, values[name], most) or []
                if most and len(ids) == most:
                    ids, of_many = None, values[name]
                values[name] = ids
        return (
            *(scope.exact, scope.top, exact, top, self._value("since"), self._value("until"), last_only),
            *(answered, wanted, self._value("failure")),
            *values.values(),
            of_many,
        )

    def _value(self, name: str) -> Any:  # noqa: ANN401 - of the type that the query takes
        text, each = self.get(name), _ALL[name]
        if each.kind == TIME:
            return parse_input_time(text, self.zone)
        return each.value(text) if text else None


def _shown(name: str, text: str) -> str:
    each = _ALL[name]
    if each.kind == TIME:
        return text.replace("T", " ")
    return each.options.get(text, text)
