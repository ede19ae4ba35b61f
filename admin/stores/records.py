"""Call records: the list and one record with its charges."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from admin.errors import NotFound
from admin.paging import KeyParts, Page, PageRequest, make_page
from admin.scope import Scope
from admin.stores.reading import Pool, reading
from admin.stores.record_filter import MATCHES, RecordFilter
from cdr.trace import TracedMessage, read_messages

KEY: Final[KeyParts] = (datetime.fromisoformat, UUID, int)
"""Parts of a cursor: received_at, call_id, attempt."""


@dataclass(frozen=True, slots=True)
class Record:
    """A row of the list."""

    call_id: UUID
    attempt: int
    is_last: bool
    received_at: datetime
    duration: Decimal
    source: str
    destination: str
    sip_code: int
    q850_cause: int | None
    code: str
    refused_by: str
    gross: Decimal | None
    currency: str | None
    calls: int
    """How many refusals alike the record stands for."""
    kind: str
    device: str
    post_dial_delay: Decimal | None
    a_address: str
    ended_by: str
    account: str | None
    account_name: str | None
    decimals: int
    carrier: str | None
    gateway: str | None
    source_sent: str
    destination_sent: str
    b_address: str

    @property
    def key(self) -> tuple[datetime, UUID, int]:
        """Its place in the list."""
        return self.received_at, self.call_id, self.attempt


_LIST: Final = """
    SELECT cdr.call_id, cdr.attempt, cdr.is_last, cdr.received_at, cdr.duration, cdr.source_received AS source,
           cdr.destination_received AS destination, cdr.sip_code, cdr.q850_cause, cdr.code, cdr.object AS refused_by,
           cdr.gross, cdr.currency, cdr.calls, cdr.kind, cdr.device, cdr.post_dial_delay, cdr.a_address, cdr.ended_by,
           account.code AS account, account.name AS account_name, coalesce(account.decimals, 4) AS decimals,
           carrier.name AS carrier, gateway.name AS gateway, cdr.source_sent, cdr.destination_sent, cdr.b_address
    FROM cdr
    LEFT JOIN account ON account.id = cdr.account_id
    LEFT JOIN carrier ON carrier.id = cdr.carrier_id
    LEFT JOIN gateway ON gateway.id = cdr.gateway_id
    WHERE {matches}
"""

_OLDER: Final = """
      AND ($28::timestamptz IS NULL OR (cdr.received_at <= $28
           AND (cdr.received_at < $28 OR (cdr.call_id, cdr.attempt) > ($29::uuid, $30::smallint))))
    ORDER BY cdr.received_at DESC, cdr.call_id, cdr.attempt
    LIMIT $31
"""

_NEWER: Final = """
      AND (cdr.received_at >= $28
           AND (cdr.received_at > $28 OR (cdr.call_id, cdr.attempt) < ($29::uuid, $30::smallint)))
    ORDER BY cdr.received_at, cdr.call_id DESC, cdr.attempt DESC
    LIMIT $31
"""


_OLDER_QUERY: Final = _LIST.replace("{matches}", MATCHES) + _OLDER
_NEWER_QUERY: Final = _LIST.replace("{matches}", MATCHES) + _NEWER


async def list_records(pool: Pool, scope: Scope, chosen: RecordFilter, asked: PageRequest) -> Page[Record]:
    """A page of the records in scope, newest first."""
    query = _NEWER_QUERY if asked.backward else _OLDER_QUERY
    async with reading(pool) as connection:
        narrowing = await chosen.parameters(connection, scope)
        rows = await connection.fetch(query, *narrowing, *asked.parts(3), asked.size + 1)
    return make_page([Record(*row) for row in rows], asked, lambda record: record.key)


async def all_records(pool: Pool, scope: Scope, chosen: RecordFilter, size: int = 500) -> AsyncIterator[Record]:
    """Every record of a list, page after page."""
    asked = PageRequest(size=size)
    while True:
        page = await list_records(pool, scope, chosen, asked)
        for record in page.rows:
            yield record
        if page.next is None:
            return
        asked = PageRequest(page.rows[-1].key, size=size)


_DETAIL: Final = """
    SELECT cdr.call_id, cdr.attempt, cdr.is_last, cdr.received_at, cdr.ringing_at, cdr.answered_at, cdr.ended_at,
           cdr.post_dial_delay, cdr.duration, cdr.account_id, cdr.account_chain, cdr.device, cdr.worker,
           cdr.a_call_id, cdr.b_call_id, cdr.source_received, cdr.source_sent, cdr.destination_received,
           cdr.destination_sent, cdr.a_address, cdr.a_transport, cdr.a_user_agent, cdr.b_address, cdr.b_transport,
           cdr.b_user_agent, cdr.sip_code, cdr.q850_cause, cdr.code, cdr.object, cdr.ended_by, cdr.reason,
           cdr.codecs_offered, cdr.codec_used, cdr.media_mode, cdr.gross, cdr.currency, cdr.kind,
           sip_user.username AS sip_user,
           account.code AS account, account.name AS account_name, account.decimals,
           carrier.code AS carrier, carrier.name AS carrier_name, gateway.name AS gateway, route.name AS route
    FROM cdr
    LEFT JOIN account ON account.id = cdr.account_id
    LEFT JOIN carrier ON carrier.id = cdr.carrier_id
    LEFT JOIN gateway ON gateway.id = cdr.gateway_id
    LEFT JOIN route ON route.id = cdr.route_id
    LEFT JOIN sip_user ON sip_user.id = substring(cdr.device FROM '^user:([0-9]{1,18})$')::bigint
    WHERE cdr.call_id = $3 AND cdr.attempt = $4
      AND ($1::bigint IS NULL OR cdr.account_id = $1)
      AND ($2::bigint IS NULL OR $2 = ANY (cdr.account_chain))
      AND ($5::boolean OR cdr.is_last)
"""

_CHARGES: Final = """
    SELECT cdr_charge.level, account.code AS account, account.name AS account_name, account.decimals,
           carrier.code AS carrier, carrier.name AS carrier_name, tariff.name AS tariff, rate.prefix, rate.destination,
           cdr_charge.billed_seconds, cdr_charge.net, cdr_charge.tax, cdr_charge.gross, cdr_charge.currency
    FROM cdr_charge
    LEFT JOIN account ON account.id = cdr_charge.account_id
    LEFT JOIN carrier ON carrier.id = cdr_charge.carrier_id
    LEFT JOIN tariff ON tariff.id = cdr_charge.tariff_id
    LEFT JOIN rate ON rate.id = cdr_charge.rate_id
    WHERE cdr_charge.call_id = $1 AND cdr_charge.attempt = $2 AND cdr_charge.received_at = $3
      AND cdr_charge.level BETWEEN $4 AND $5
    ORDER BY cdr_charge.level < 0, cdr_charge.level
"""

_ATTEMPTS: Final = """
    SELECT cdr.attempt, cdr.is_last, cdr.sip_code, cdr.q850_cause, cdr.code, gateway.name AS gateway
    FROM cdr LEFT JOIN gateway ON gateway.id = cdr.gateway_id
    WHERE cdr.call_id = $1
    ORDER BY cdr.attempt
    LIMIT 50
"""

_TRACE: Final = "SELECT messages FROM call_trace WHERE call_id = $1 AND received_at = $2"

HIGHEST_LEVEL: Final = 1000
"""More levels than any chain of accounts has."""


@dataclass(frozen=True, slots=True)
class RecordDetail:
    """One record with everything this login may see of it."""

    fields: Mapping[str, Any]
    charges: list[Mapping[str, Any]]
    attempts: list[Mapping[str, Any]]
    """Every attempt of the call, for staff."""
    messages: list[TracedMessage]
    """The SIP messages of the call, as far as they were kept and may be seen."""


async def find_record(
    pool: Pool, scope: Scope, call_id: UUID, attempt: int, *, money: bool, carrier_cost: bool, carriers: bool
) -> RecordDetail:
    """Load a record.

    Args:
        pool: The database.
        scope: What the login sees; others than staff see the last attempt of a call only.
        call_id: The call.
        attempt: Which of its attempts.
        money: Whether to load what the accounts pay.
        carrier_cost: Whether to load what the carrier costs.
        carriers: Whether to load the messages of carriers.

    Raises:
        NotFound: no such record, or not in scope.
    """
    is_staff = scope.account_id is None
    async with reading(pool) as connection:
        fields = await connection.fetchrow(_DETAIL, scope.exact, scope.top, call_id, attempt, is_staff)
        if fields is None:
            raise NotFound
        lowest, highest = _visible_levels(scope, list(fields["account_chain"]), money, carrier_cost)
        charges = await connection.fetch(_CHARGES, call_id, attempt, fields["received_at"], lowest, highest)
        attempts = await connection.fetch(_ATTEMPTS, call_id) if is_staff else []
        trace = await connection.fetchval(_TRACE, call_id, fields["received_at"])
    messages = _visible_messages(trace, is_incoming=fields["kind"] == "incoming", carriers=carriers)
    return RecordDetail(dict(fields), [dict(row) for row in charges], [dict(row) for row in attempts], messages)


def _visible_messages(trace: str | None, *, is_incoming: bool, carriers: bool) -> list[TracedMessage]:
    """Messages that may be seen: those of the caller alone where carriers are hidden, none where one is the caller."""
    if trace is None or (is_incoming and not carriers):
        return []
    return [each for each in read_messages(trace) if carriers or each.leg != "b"]


def _visible_levels(scope: Scope, chain: list[int], money: bool, carrier_cost: bool) -> tuple[int, int]:
    """First and last level of charges that may be seen: nobody sees what those above them pay."""
    own = scope.account_id
    highest = HIGHEST_LEVEL if own is None else chain.index(own)
    return -1 if carrier_cost else 0, highest if money else -1
