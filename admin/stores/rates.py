"""Rates of a ratecard, and those that a customer pays: by prefix, then by the moment from which they hold."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from admin.errors import NotFound
from admin.paging import COUNT_LIMIT, KeyParts, Page, PageRequest, make_page
from admin.stores.reading import Pool, reading
from admin.stores.tariffs import like, read_id
from b2bua.account.tariff import RATE_STATUSES
from rating.ledger import Connection

WHENS: Final = {"now": "In force", "later": "Not yet", "ended": "Ended"}


def _moment(text: str) -> str:
    if text not in ("-infinity", "infinity"):
        datetime.fromisoformat(text)
    return text


KEY: Final[KeyParts] = (str, _moment)
"""Prefix, and from when it holds as PostgreSQL writes it."""
OWN_KEY: Final[KeyParts] = (str, int)
"""Prefix, and id."""


@dataclass(frozen=True, slots=True)
class RateFilter:
    """What a list is narrowed to."""

    search: str = ""
    """The begin of a prefix, a number, or a part of the destination."""
    status: str = ""
    when: str = ""

    @classmethod
    def read(cls, query: Mapping[str, str]) -> "RateFilter":
        """Take the fields of an address."""
        status, when = query.get("status", ""), query.get("when", "")
        return cls(
            query.get("q", "").strip()[:100],
            status if status in RATE_STATUSES else "",
            when if when in WHENS else "",
        )

    @property
    def is_empty(self) -> bool:
        """Whether it lets everything through."""
        return self == RateFilter()

    @property
    def is_indexed(self) -> bool:
        """Whether an index finds it."""
        return not self.status and not self.when and self.parameters()[2] is None

    def parameters(self) -> tuple[Any, ...]:
        """Begin of the prefix, number, destination, status and when, for the query."""
        digits = self.search.removeprefix("+").replace(" ", "")
        is_number = bool(digits) and not digits.strip("0123456789*#")
        return (
            f"{digits}%" if is_number else None,
            digits[:30] if is_number else None,
            None if is_number else like(self.search),
            self.status or None,
            self.when or None,
        )


@dataclass(frozen=True, slots=True)
class Rate:
    """A row of the list."""

    rate_id: int
    values: Mapping[str, Any]
    """The fields of its form; None for no date."""
    begin: str
    """From when it holds, as PostgreSQL writes it."""

    @property
    def prefix(self) -> str:
        """As people read it."""
        return self.values["prefix"] or "%"

    def when(self, now: datetime) -> str:
        """Whether it is in force: one of WHENS."""
        begin, end = self.values["valid_from"], self.values["valid_until"]
        if begin is not None and begin > now:
            return "later"
        return "ended" if end is not None and end <= now else "now"


_SELECT: Final = """
    SELECT rate.id, rate.prefix, rate.destination, rate.rate_per_minute, rate.connection_charge, rate.minimum,
           rate.resolution, rate.blocks_mode, rate.grace, rate.multiplier, rate.addition, rate.setup, rate.rental,
           rate.channels, rate.status,
           CASE WHEN isfinite(rate.valid_from) THEN rate.valid_from END AS valid_from,
           CASE WHEN isfinite(rate.valid_until) THEN rate.valid_until END AS valid_until,
           rate.valid_from::text AS begin
    FROM rate
    WHERE rate.ratecard_id = $1
"""
_FILTER: Final = """
      AND ($2::text IS NULL OR rate.prefix LIKE $2
           OR rate.prefix = ANY(ARRAY(SELECT left($3, size) FROM generate_series(0, length($3)) AS size)))
      AND ($4::text IS NULL OR rate.destination ILIKE $4)
      AND ($5::text IS NULL OR rate.status = $5)
      AND ($6::text IS NULL OR $6 = CASE WHEN rate.valid_from > now() THEN 'later'
                                         WHEN rate.valid_until <= now() THEN 'ended' ELSE 'now' END)
"""
_FORWARD: Final = (
    _SELECT
    + _FILTER
    + """
      AND ($7::text IS NULL OR (rate.prefix, rate.valid_from) > ($7, $8::text::timestamptz))
    ORDER BY rate.prefix, rate.valid_from LIMIT $9
"""
)
_BACKWARD: Final = (
    _SELECT
    + _FILTER
    + """
      AND (rate.prefix, rate.valid_from) < ($7, $8::text::timestamptz)
    ORDER BY rate.prefix DESC, rate.valid_from DESC LIMIT $9
"""
)
_COUNTED: Final = "SELECT count(*) FROM (SELECT FROM rate WHERE rate.ratecard_id = $1"
_COUNT: Final = _COUNTED + _FILTER + " LIMIT $7) AS counted"


async def list_rates(
    pool: Pool, ratecard_id: int, chosen: RateFilter, asked: PageRequest
) -> tuple[Page[Rate], int | None]:
    """A page of a ratecard's rates, and how many there are, exact below the limit.

    None: what they are narrowed to has no index, so that counting would read every rate of a large ratecard again.
    """
    async with reading(pool) as connection:
        query = _BACKWARD if asked.backward else _FORWARD
        rows = await connection.fetch(query, ratecard_id, *chosen.parameters(), *asked.parts(2), asked.size + 1)
        total = None
        if chosen.is_indexed:
            total = await connection.fetchval(_COUNT, ratecard_id, *chosen.parameters(), COUNT_LIMIT)
    page = make_page([_rate(row) for row in rows], asked, lambda each: (each.values["prefix"], each.begin))
    return page, total


async def find_rate(source: Pool | Connection, ratecard_id: int, text: str) -> Rate:
    """Find a rate by the number in an address.

    Raises:
        NotFound: the ratecard has none of this number.
    """
    row = await source.fetchrow(_SELECT + " AND rate.id = $2", ratecard_id, read_id(text))
    if row is None:
        raise NotFound
    return _rate(row)


def _rate(row: Any) -> Rate:  # noqa: ANN401 - asyncpg's row
    values = dict(row)
    rate_id, begin = values.pop("id"), values.pop("begin")
    for name in ("valid_from", "valid_until"):
        if values[name] is not None:
            values[name] = values[name].astimezone(UTC)
    return Rate(rate_id, values, begin)


@dataclass(frozen=True, slots=True)
class OwnRate:
    """What an account pays for a prefix now."""

    rate_id: int
    prefix: str
    destination: str
    rate_per_minute: Any
    connection_charge: Any
    minimum: int
    resolution: int
    status: str
    direction: str
    ratecard: str


# Of those in force, the newest of each prefix in each ratecard: what the switch would take of it.
_OWN: Final = """
    SELECT rate.id, rate.prefix, rate.destination, rate.rate_per_minute, rate.connection_charge, rate.minimum,
           rate.resolution, rate.status, ratecard.direction, ratecard.name AS ratecard
    FROM account
    JOIN tariff_ratecard ON tariff_ratecard.tariff_id = account.tariff_id
    JOIN ratecard ON ratecard.id = tariff_ratecard.ratecard_id
    JOIN rate ON rate.ratecard_id = ratecard.id
    WHERE account.id = $1 AND rate.valid_from <= now() AND rate.valid_until > now()
      AND NOT EXISTS (SELECT FROM rate AS newer
                      WHERE newer.ratecard_id = rate.ratecard_id AND newer.prefix = rate.prefix
                        AND newer.valid_from > rate.valid_from AND newer.valid_from <= now()
                        AND newer.valid_until > now())
      AND ($2::text IS NULL OR rate.prefix LIKE $2
           OR rate.prefix = ANY(ARRAY(SELECT left($3, size) FROM generate_series(0, length($3)) AS size)))
      AND ($4::text IS NULL OR rate.destination ILIKE $4)
"""
_OWN_FORWARD: Final = (
    _OWN + " AND ($5::text IS NULL OR (rate.prefix, rate.id) > ($5, $6)) ORDER BY rate.prefix, rate.id LIMIT $7"
)
_OWN_BACKWARD: Final = (
    _OWN + " AND (rate.prefix, rate.id) < ($5, $6::bigint) ORDER BY rate.prefix DESC, rate.id DESC LIMIT $7"
)


async def list_own(pool: Pool, account_id: int, search: str, asked: PageRequest) -> Page[OwnRate]:
    """A page of the rates that an account pays now."""
    prefix, number, destination, *_ = RateFilter(search).parameters()
    async with reading(pool) as connection:
        rows = await connection.fetch(
            _OWN_BACKWARD if asked.backward else _OWN_FORWARD,
            account_id,
            prefix,
            number,
            destination,
            *asked.parts(2),
            asked.size + 1,
        )
    return make_page([OwnRate(*row) for row in rows], asked, lambda each: (each.prefix, each.rate_id))


async def tariff_of(pool: Pool, account_id: int) -> Any:  # noqa: ANN401 - asyncpg's row
    """Name, currency and status of an account's tariff; None: it has none."""
    return await pool.fetchrow(
        """
        SELECT tariff.name, tariff.currency, tariff.status
        FROM account JOIN tariff ON tariff.id = account.tariff_id WHERE account.id = $1
        """,
        account_id,
    )
