"""One customer or reseller: found by its code within the scope of a login, and what its pages say of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from admin.errors import NotFound
from admin.scope import Scope
from admin.stores.reading import Pool
from b2bua.account.customer import SELF_CARE
from rating.ledger import Connection


@dataclass(frozen=True, slots=True)
class Account:
    """A customer or reseller, as the head of its pages shows it."""

    account_id: int
    kind: str
    """customer or reseller."""
    code: str
    name: str
    company: str
    status: str
    customer_type: str
    currency: str
    decimals: int
    billing_type: str
    parent: str | None
    """Code of the reseller above."""
    balance: Decimal
    granted: Decimal
    credit_limit: Decimal
    own: frozenset[str]
    """Which of the six self-care switches are on."""

    @property
    def credit(self) -> Decimal:
        """What it may spend beyond its balance."""
        return self.granted + (self.credit_limit if self.billing_type == "postpaid" else Decimal(0))

    @property
    def is_demo(self) -> bool:
        """Whether it only tries."""
        return self.customer_type == "demo"

    @property
    def title(self) -> str:
        """How the audit log names it."""
        return f"account {self.code}"


async def find_customer(source: Pool | Connection, scope: Scope, code: str) -> Account:
    """Find a customer.

    Raises:
        NotFound: there is none of this code in scope.
    """
    return await _find(source, scope, code, "customer")


async def find_reseller(source: Pool | Connection, scope: Scope, code: str, *, takes_own: bool = False) -> Account:
    """Find a reseller. That of the login itself is not in its scope: those above it manage it.

    Args:
        source: The database.
        scope: Of the login.
        code: Of the reseller.
        takes_own: Also that of the login, for what a reseller reads about itself.

    Raises:
        NotFound: there is none of this code in scope.
    """
    account = await _find(source, scope, code, "reseller")
    if account.account_id == scope.account_id and not takes_own:
        raise NotFound
    return account


async def _find(source: Pool | Connection, scope: Scope, code: str, kind: str) -> Account:
    record = await source.fetchrow(
        """
        SELECT account.id AS account_id, account.kind, account.code, account.name, account.company, account.status,
               account.customer_type, account.currency, account.decimals, account.billing_type, parent.code AS parent,
               account_balance.balance, account_balance.granted, account.credit_limit,
               account.own_ip_devices, account.own_sip_users, account.own_source_rules, account.own_destination_rules,
               account.own_did_source_rules, account.own_did_destination_rules, account.own_rates
        FROM account
        JOIN account_balance ON account_balance.account_id = account.id
        LEFT JOIN account AS parent ON parent.id = account.parent_id
        WHERE account.code = $1 AND account.kind = $4
          AND ($2::bigint IS NULL OR account.id = $2)
          AND ($3::bigint IS NULL OR $3 IN (
              WITH RECURSIVE above AS (
                  SELECT self.id, self.parent_id FROM account AS self WHERE self.code = $1
                  UNION ALL
                  SELECT upper.id, upper.parent_id FROM account AS upper JOIN above ON upper.id = above.parent_id
              )
              SELECT above.id FROM above
          ))
        """,
        code,
        scope.exact,
        scope.top,
        kind,
    )
    if record is None:
        raise NotFound
    values = {name: value for name, value in record.items() if name not in SELF_CARE}
    return Account(**values, own=frozenset(name for name in SELF_CARE if record[name]))


async def find_chain(source: Pool | Connection, scope: Scope, code: str) -> tuple[str, ...]:
    """Codes of an account and those above it, up to the one that a scope begins with.

    Raises:
        NotFound: there is no such account in scope.
    """
    records = await source.fetch(
        """
        WITH RECURSIVE above AS (
            SELECT self.id, self.code, self.parent_id, 0 AS level FROM account AS self WHERE self.code = $1
            UNION ALL
            SELECT upper.id, upper.code, upper.parent_id, above.level + 1
            FROM account AS upper JOIN above ON upper.id = above.parent_id
        )
        SELECT above.id, above.code FROM above ORDER BY above.level
        """,
        code,
    )
    ids, codes = [record["id"] for record in records], tuple(record["code"] for record in records)
    if not ids or not scope.covers(ids):
        raise NotFound
    return codes if scope.account_id is None else codes[: ids.index(scope.account_id) + 1]


async def has_sip_user(source: Pool | Connection, scope: Scope, username: str) -> bool:
    """Whether an account in scope has a SIP user of this name."""
    code: str | None = await source.fetchval(
        "SELECT account.code FROM sip_user JOIN account ON account.id = sip_user.account_id WHERE username = $1",
        username,
    )
    if code is None:
        return False
    try:
        await find_chain(source, scope, code)
    except NotFound:
        return False
    return True


async def own_switches(source: Pool | Connection, account_id: int) -> frozenset[str]:
    """Which of the six self-care switches of an account are on."""
    record = await source.fetchrow(
        """
        SELECT own_ip_devices, own_sip_users, own_source_rules, own_destination_rules, own_did_source_rules,
               own_did_destination_rules
        FROM account WHERE id = $1
        """,
        account_id,
    )
    assert record is not None
    return frozenset(name for name, is_on in record.items() if is_on)


async def read_form(source: Pool | Connection, account: Account) -> Mapping[str, Any]:
    """The customer as its form shows it."""
    record = await source.fetchrow(
        """
        SELECT account.customer_type, account.name, account.company, account.email, account.phone, account.address,
               account.country, account.pin, tariff.name AS tariff, account.billing_type, account.payment_term,
               account.max_credit_limit, account.credit_limit, account.decimals, account.rounding, account.tax_flag,
               account.tax_inclusive, account.tax_percents, account.tax_certificate, account.max_sessions, account.cps,
               account.max_duration, account.codec_check, account.codecs, account.with_media, account.loss_guard,
               account.cli_by_destination, account.own_ip_devices, account.own_sip_users, account.own_source_rules,
               account.own_destination_rules, account.own_did_source_rules, account.own_did_destination_rules,
               account.own_rates
        FROM account LEFT JOIN tariff ON tariff.id = account.tariff_id
        WHERE account.id = $1
        """,
        account.account_id,
    )
    assert record is not None
    return dict(record)


async def count_parts(source: Pool | Connection, account: Account) -> Mapping[str, int]:
    """How many things an account has of each kind."""
    record = await source.fetchrow(
        """
        SELECT (SELECT count(*) FROM ip_device WHERE account_id = $1) AS ip_devices,
               (SELECT count(*) FROM sip_user WHERE account_id = $1) AS sip_users,
               (SELECT count(*) FROM dialing_route WHERE account_id = $1) AS dialing_routes,
               (SELECT count(*) FROM did WHERE account_id = $1) AS dids,
               (SELECT count(*) FROM panel_user WHERE account_id = $1) AS logins
        """,
        account.account_id,
    )
    assert record is not None
    return dict(record)


async def tariff_names(
    source: Pool | Connection, currency: str | None, scope: Scope, parent: str | None = None
) -> list[tuple[str, str]]:
    """Names and currencies of the tariffs for customers: the operator's, and those of resellers.

    Args:
        source: The database.
        currency: Only of this one; None: of all.
        scope: Of resellers within it.
        parent: Of this reseller alone; None: of all in scope.
    """
    records = await source.fetch(
        """
        WITH RECURSIVE subtree AS (
            SELECT id FROM account
            WHERE kind = 'reseller' AND CASE WHEN $2::bigint IS NULL THEN parent_id IS NULL ELSE id = $2 END
            UNION ALL
            SELECT account.id FROM account JOIN subtree ON account.parent_id = subtree.id
            WHERE account.kind = 'reseller'
        )
        SELECT tariff.name, tariff.currency FROM tariff LEFT JOIN account AS owner ON owner.id = tariff.owner_id
        WHERE tariff.kind = 'customer' AND tariff.status = 'active' AND ($1::text IS NULL OR tariff.currency = $1)
          AND (owner.id IS NULL OR (owner.id IN (SELECT id FROM subtree) AND ($3::text IS NULL OR owner.code = $3)))
        ORDER BY lower(tariff.name) LIMIT 1000
        """,
        currency,
        scope.top,
        parent,
    )
    return [(record["name"], record["currency"]) for record in records]


async def resellers(source: Pool | Connection, scope: Scope) -> list[tuple[str, str, str]]:
    """Codes, names and currencies of the resellers in scope, the login's own first."""
    records = await source.fetch(
        """
        WITH RECURSIVE subtree AS (
            SELECT id, 0 AS depth FROM account
            WHERE kind = 'reseller' AND CASE WHEN $1::bigint IS NULL THEN parent_id IS NULL ELSE id = $1 END
            UNION ALL
            SELECT account.id, depth + 1 FROM account JOIN subtree ON account.parent_id = subtree.id
            WHERE account.kind = 'reseller'
        )
        SELECT code, name, currency FROM account JOIN subtree USING (id)
        WHERE kind = 'reseller' AND status <> 'closed'
        ORDER BY CASE WHEN $1::bigint IS NULL THEN 0 ELSE depth END, code LIMIT 1000
        """,
        scope.top,
    )
    return [(record["code"], record["name"], record["currency"]) for record in records]


async def set_status(connection: Connection, account: Account, status: str) -> None:
    """Suspend or activate an account that is not closed."""
    await connection.execute(
        "UPDATE account SET status = $2 WHERE id = $1 AND status <> 'closed' AND status <> $2",
        account.account_id,
        status,
    )


async def reasons_against_deletion(connection: Connection, account: Account) -> list[str]:
    """What an account still has that must not be lost, in sentences; calls in progress are not known here."""
    record = await connection.fetchrow(
        """
        SELECT account_balance.balance, account_balance.granted,
               (SELECT count(*) FROM did WHERE did.account_id = $1) AS dids,
               (SELECT count(*) FROM account AS below
                WHERE below.parent_id = $1 AND below.kind = 'customer' AND below.status <> 'closed') AS customers,
               (SELECT count(*) FROM account AS below
                WHERE below.parent_id = $1 AND below.kind = 'reseller' AND below.status <> 'closed') AS resellers
        FROM account_balance WHERE account_id = $1 FOR UPDATE
        """,
        account.account_id,
    )
    assert record is not None
    reasons = []
    for count, one in ((record["customers"], "customer"), (record["resellers"], "reseller")):
        if count:
            below = f"1 {one}" if count == 1 else f"{count} {one}s"
            reasons.append(f"It has {below} below it: delete {'it' if count == 1 else 'them'} first")
    if record["balance"]:
        reasons.append(f"Its balance is {record['balance'].normalize():f} {account.currency}: settle it under Payments")
    if record["granted"]:
        reasons.append(
            f"It has credit of {record['granted'].normalize():f} {account.currency}: reduce it under Payments"
        )
    if record["dids"]:
        numbers = "1 DID number" if record["dids"] == 1 else f"{record['dids']} DID numbers"
        reasons.append(f"It has {numbers}: give them to another account")
    return reasons


async def delete(connection: Connection, account: Account) -> bool:
    """Delete an account with its devices, rules and logins; one with entries in the books or records stays, closed.

    So does one with others below it, which are closed themselves.

    Returns:
        Whether it is gone altogether.
    """
    for statement in (
        "DELETE FROM ip_device WHERE account_id = $1",
        "DELETE FROM sip_user WHERE account_id = $1",
        "DELETE FROM dialing_route WHERE account_id = $1",
        "DELETE FROM number_rule WHERE account_id = $1",
        "DELETE FROM panel_user WHERE account_id = $1",
        "DELETE FROM reseller_route WHERE account_id = $1",
    ):
        await connection.execute(statement, account.account_id)
    has_history: bool = await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM ledger_entry WHERE account_id = $1) OR EXISTS (SELECT FROM cdr WHERE account_id = $1)
            OR EXISTS (SELECT FROM account WHERE parent_id = $1)
        """,
        account.account_id,
    )
    if has_history:
        await connection.execute("UPDATE account SET status = 'closed' WHERE id = $1", account.account_id)
        return False
    await connection.execute("DELETE FROM account_balance WHERE account_id = $1", account.account_id)
    await connection.execute("DELETE FROM account WHERE id = $1", account.account_id)
    return True
