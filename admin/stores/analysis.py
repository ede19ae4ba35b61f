"""Figures of call analysis: the records of a period in scope, added up by each thing they are ranked by.

Those of a customer are read and added up in one pass; those of everybody or of a reseller are kept by day
(`admin.stores.traffic`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from admin.country_code import CODES, country_code
from admin.errors import NotFound
from admin.scope import Scope
from admin.stores import traffic
from admin.stores.reading import Pool, reading
from admin.stores.record_filter import MATCHES, PARAMETERS, RecordFilter

SHOWN: Final = 10
"""Rows of a ranking."""
ON_NET: Final = "on_net"
"""Stands for a country where a call stayed inside the switch."""
_DIMENSIONS: Final = ("sip_code", "code", "carrier_id", "device", "prefix", "country", "start")
"""Bits of `grouping()`, from the lowest."""

_FIGURES: Final = """
    WITH record AS (
        SELECT date_bin($28::interval, cdr.received_at, $5) AS start, cdr.device, cdr.carrier_id, cdr.code,
               cdr.sip_code, coalesce(cdr.q850_cause, 0) AS cause, cdr.is_last, cdr.attempt, cdr.calls,
               cdr.duration, cdr.post_dial_delay, cdr.code = 'ANSWERED' AS is_answered,
               CASE cdr.kind WHEN 'on_net' THEN 'on_net'
                   ELSE left(coalesce(nullif(cdr.destination_used, ''), cdr.destination_received), 3) END AS country,
               left(coalesce(nullif(cdr.destination_used, ''), cdr.destination_received), 5) AS prefix
        FROM cdr
        WHERE {matches}
    ), figures AS (
        SELECT grouping(start, country, prefix, device, carrier_id, code, sip_code) AS missing,
               start, country, prefix, device, carrier_id, code, sip_code, cause,
               coalesce(sum(calls) FILTER (WHERE is_last), 0) AS calls,
               coalesce(sum(calls) FILTER (WHERE attempt > 0), 0) AS attempts,
               count(*) FILTER (WHERE is_answered) AS answered,
               sum(duration) AS seconds, count(post_dial_delay) AS delays, sum(post_dial_delay) AS delayed
        FROM record
        GROUP BY GROUPING SETS ((start), (country), (prefix), (device), (carrier_id), (code), (sip_code, cause))
    ), ranked AS (
        SELECT figures.*,
               row_number() OVER (PARTITION BY missing
                                  ORDER BY CASE WHEN carrier_id IS NULL THEN calls ELSE attempts END DESC,
                                           prefix, device, sip_code, cause, carrier_id) AS place
        FROM figures
    )
    SELECT missing, start, country, prefix, device, carrier_id, code, sip_code, cause,
           calls, attempts, answered, seconds, delays, delayed
    FROM ranked
    WHERE place <= $29 OR start IS NOT NULL OR country IS NOT NULL OR code IS NOT NULL
    ORDER BY missing, place
"""

_FIGURES_QUERY: Final = _FIGURES.replace("{matches}", MATCHES)
assert PARAMETERS == 27, "the parameters of this query follow those of MATCHES"

_ACCOUNT: Final = """
    WITH RECURSIVE above AS (
        SELECT self.id, self.parent_id FROM account AS self WHERE self.code = $1
        UNION ALL
        SELECT upper.id, upper.parent_id FROM account AS upper JOIN above ON upper.id = above.parent_id
    )
    SELECT account.code, account.name, account.kind, account.id AS account_id
    FROM account
    WHERE account.code = $1 AND ($2::bigint IS NULL OR account.id = $2)
      AND ($3::bigint IS NULL OR $3 IN (SELECT above.id FROM above))
"""

_DEVICES: Final = """
    SELECT 'ip:' || ip_device.id AS key, abbrev(ip_device.address::inet) AS name, account.code AS account
    FROM ip_device JOIN account ON account.id = ip_device.account_id
    WHERE ip_device.id = ANY ($1::bigint[])
    UNION ALL
    SELECT 'user:' || sip_user.id, sip_user.username, account.code
    FROM sip_user JOIN account ON account.id = sip_user.account_id
    WHERE sip_user.id = ANY ($2::bigint[])
"""

_CARRIERS: Final = "SELECT id, code, name FROM carrier WHERE id = ANY ($1::bigint[])"


@dataclass(slots=True)
class Figures:
    """What some records add up to."""

    calls: int = 0
    attempts: int = 0
    """Tries at gateways: more than calls where another one was tried, fewer where calls were refused before any."""
    answered: int = 0
    seconds: Decimal = Decimal(0)
    delays: int = 0
    """How many attempts rang."""
    delayed: Decimal = Decimal(0)
    """Seconds until their first sign of ringing."""

    @property
    def mean_duration(self) -> Decimal | None:
        """Of answered calls; None where there was none."""
        return self.seconds / self.answered if self.answered else None

    @property
    def delay(self) -> Decimal | None:
        """Mean seconds until the first sign of ringing; None where nothing rang."""
        return self.delayed / self.delays if self.delays else None

    @property
    def minutes(self) -> Decimal:
        """Minutes of talk."""
        return self.seconds / 60

    def add(self, other: "Figures") -> None:
        """Add another one, that has none of the same records."""
        self.calls += other.calls
        self.attempts += other.attempts
        self.answered += other.answered
        self.seconds += other.seconds
        self.delays += other.delays
        self.delayed += other.delayed


@dataclass(frozen=True, slots=True)
class Rank:
    """A row of a ranking."""

    key: str
    """As the list of records takes it in an address; empty where no filter finds it."""
    title: str
    note: str
    figures: Figures


@dataclass(frozen=True, slots=True)
class Money:
    """What calls cost in one currency; None for what there is none of, or what the login may not see."""

    currency: str
    price: Decimal | None = None
    cost: Decimal | None = None
    profit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Analysed:
    """The account that is looked at."""

    code: str
    name: str
    kind: str
    account_id: int


@dataclass(slots=True)
class Analysis:
    """All figures of a page."""

    total: Figures = field(default_factory=Figures)
    times: dict[datetime, Figures] = field(default_factory=dict)
    """By the start of each hour or day; those without calls are not in it."""
    countries: list[Rank] = field(default_factory=list)
    prefixes: list[Rank] = field(default_factory=list)
    devices: list[Rank] = field(default_factory=list)
    carriers: list[Rank] = field(default_factory=list)
    codes: dict[str, Figures] = field(default_factory=dict)
    answers: list[tuple[int, int, Figures]] = field(default_factory=list)
    """SIP code and Q.850 cause (0 for none) of calls that were not answered."""
    money: list[Money] = field(default_factory=list)


async def find_account(pool: Pool, scope: Scope, code: str) -> Analysed:
    """Find an account, a customer or a reseller.

    Raises:
        NotFound: there is none of this code in scope.
    """
    row = await pool.fetchrow(_ACCOUNT, code, scope.exact, scope.top)
    if row is None:
        raise NotFound
    return Analysed(*row)


async def analyse(
    pool: Pool, scope: Scope, chosen: RecordFilter, step: timedelta, *, money: bool, cost: bool, carriers: bool
) -> Analysis:
    """Add up the records of a period.

    Args:
        pool: The database.
        scope: What the login sees.
        chosen: The account, and the period with both its ends.
        step: Length of the parts of the period.
        money: Whether to load what the accounts pay.
        cost: Whether to load costs and profit: of staff what the carriers cost, of a reseller what itself pays.
        carriers: Whether to load the ranking of carriers.
    """
    found = Analysis()
    account_id, is_kept = await _account(pool, scope, chosen)
    async with reading(pool) as connection:
        await connection.execute("SET LOCAL work_mem = '64MB'")  # so that each grouping is hashed and nothing is sorted
        narrowing = await chosen.parameters(connection, scope)
        first, last = (moment.date() for moment in narrowing[4:6])
        if is_kept:
            groups = await traffic.summarise(connection, account_id, first, last, step, 2 * SHOWN)
        else:
            groups = _sort_out(await connection.fetch(_FIGURES_QUERY, *narrowing, step, 2 * SHOWN))
        amounts = await traffic.money(connection, account_id, first, last, scope.account_id or 0)
        names = await _device_names(connection, [str(row["device"]) for row in groups["device"]])
        sellers = {}
        if carriers:
            ids = [row["carrier_id"] for row in groups["carrier_id"]]
            sellers = {row["id"]: (row["code"], row["name"]) for row in await connection.fetch(_CARRIERS, ids)}
    found.times = {row["start"]: _figures(row) for row in groups["start"]}
    for part in found.times.values():
        found.total.add(part)
    found.countries = _countries(groups["country"])
    found.prefixes = [Rank(row["prefix"], row["prefix"], "", _figures(row)) for row in _with_calls(groups["prefix"])]
    found.devices = []
    for row in _with_calls(groups["device"]):
        name, owner = names.get(row["device"], (row["device"], "deleted"))
        found.devices.append(Rank(row["device"], name, owner, _figures(row)))
    found.carriers = [
        Rank(code, name, code, _figures(row))
        for row in sorted(groups["carrier_id"], key=lambda row: -row["attempts"])
        for code, name in [sellers.get(row["carrier_id"], ("", "Deleted carrier"))]
        if carriers
    ][:SHOWN]
    found.codes = {row["code"]: _figures(row) for row in groups["code"] if row["calls"]}
    found.answers = [
        (row["sip_code"], row["cause"], _figures(row))
        for row in groups["sip_code"]
        if row["calls"] and not row["answered"]
    ]
    found.money = [
        Money(currency, price if money else None, *((paid, profit) if cost else (None, None)))
        for currency, price, paid, profit in amounts
        if money or cost
    ]
    return found


async def _account(pool: Pool, scope: Scope, chosen: RecordFilter) -> tuple[int, bool]:
    """Whose records are looked at, 0 for everybody's, and whether their figures are kept: not those of a customer.

    Raises:
        NotFound: the account is not in scope.
    """
    if code := chosen.get("account"):
        account = await find_account(pool, scope, code)
        return account.account_id, account.kind == "reseller"
    return scope.account_id or 0, scope.exact is None


def _with_calls(rows: Sequence[Any]) -> Sequence[Any]:
    return [row for row in rows if row["calls"]][:SHOWN]


def _sort_out(rows: list[Any]) -> dict[str, Sequence[Any]]:
    """The rows of each grouping by the name of what they are grouped by; those that are of nothing are left out."""
    every = (1 << len(_DIMENSIONS)) - 1
    groups: dict[str, list[Any]] = {name: [] for name in _DIMENSIONS}
    for row in rows:
        name = _DIMENSIONS[(every & ~row["missing"]).bit_length() - 1]
        if row[name] not in {None, ""}:
            groups[name].append(row)
    return dict(groups)


def _figures(row: Any) -> Figures:  # noqa: ANN401 - asyncpg's row
    return Figures(
        int(row["calls"]),
        int(row["attempts"]),
        row["answered"],
        row["seconds"] or Decimal(0),
        row["delays"],
        row["delayed"] or Decimal(0),
    )


def _countries(rows: Sequence[Any]) -> list[Rank]:
    """Countries by calls; the rows are by the first three digits, which hold every country code."""
    countries: dict[str, Figures] = {}
    for row in rows:
        code = ON_NET if row["country"] == ON_NET else country_code(row["country"])
        countries.setdefault(code, Figures()).add(_figures(row))
    ranks = [
        Rank(code, "Inside the switch", "", figures)
        if code == ON_NET
        else Rank(code, CODES.get(code, "Other numbers"), f"+{code}" if code else "", figures)
        for code, figures in countries.items()
    ]
    return sorted(ranks, key=lambda rank: -rank.figures.calls)[:SHOWN]


async def _device_names(connection: Any, keys: list[str]) -> dict[str, tuple[str, str]]:  # noqa: ANN401
    """Name and account of each device that is still there."""
    ids: dict[str, list[int]] = {"ip": [], "user": []}
    for key in keys:
        kind, _, number = key.partition(":")
        if kind in ids and number.isdecimal():
            ids[kind].append(int(number))
    rows = await connection.fetch(_DEVICES, ids["ip"], ids["user"])
    return {row["key"]: (row["name"], row["account"]) for row in rows}
