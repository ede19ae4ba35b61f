"""Customers and resellers as their form makes and changes them, with the tariff, reseller and login that it names."""

import json
from collections.abc import Mapping
from typing import Any, Literal

from b2bua.account import store
from b2bua.account.customer import Customer, NewCustomer, plain
from b2bua.account.errors import AlreadyThere, Refused
from rating.ledger import Connection

Row = Mapping[str, Any]


async def add_customer(
    connection: Connection, form: NewCustomer, password_hash: str, kind: Literal["customer", "reseller"] = "customer"
) -> str:
    """Make a customer, or a reseller, with its login, and return its code.

    Raises:
        Refused: no such tariff or reseller, another currency, or the login is taken.
    """
    async with connection.transaction():
        parent = await _reseller(connection, form.parent) if form.parent else None
        above, currency = (parent["id"], parent["currency"]) if parent else (None, None)
        tariff = await _tariff(connection, form.tariff, above, currency, "the reseller")
        code = await store.next_account_code(connection, kind)
        await store.add_account(
            connection,
            code,
            kind=kind,
            name=form.name,
            currency=tariff["currency"],
            parent_id=parent["id"] if parent else None,
            values=form.columns() | {"tariff_id": tariff["id"]},
        )
        try:
            with store.unique(form.login):
                await connection.execute(
                    """
                    INSERT INTO panel_user (login, password_hash, role, account_id)
                    SELECT $2, $3, $4, id FROM account WHERE code = $1
                    """,
                    code,
                    form.login,
                    password_hash,
                    kind,
                )
        except AlreadyThere:
            raise Refused("login", f"Web user name {form.login} is taken: choose another") from None
    return code


async def change_customer(connection: Connection, code: str, form: Customer) -> tuple[dict[str, Any], dict[str, Any]]:
    """Change a customer or reseller and return what was changed, as it was and as it is.

    Raises:
        Refused: no such tariff, another currency, less credit than it has, or money that a trial must not have.
    """
    async with connection.transaction():
        before = await _row(connection, code)
        tariff = await _tariff(connection, form.tariff, before["row"]["parent_id"], before["currency"], "the account")
        if before["granted"] + form.credit_limit > form.max_credit_limit:
            raise Refused(
                "max_credit_limit", f"Maximum credit limit must cover the {plain(before['granted'])} granted now"
            )
        if form.customer_type == "demo" and before["balance"] > 0:
            raise Refused(
                "customer_type", f"A DEMO account has no money of its own; this has {plain(before['balance'])}"
            )
        await store.set_account(connection, code, form.columns() | {"tariff_id": tariff["id"]})
        after = await _row(connection, code)
    changed = [name for name, value in before["row"].items() if after["row"][name] != value]
    return {name: before["row"][name] for name in changed}, {name: after["row"][name] for name in changed}


async def set_tariff(connection: Connection, code: str, tariff: str) -> str | None:
    """Give an account another tariff and return the name of the one before.

    Raises:
        Refused: no such tariff, or another currency.
    """
    async with connection.transaction():
        before = await connection.fetchrow(
            """
            SELECT account.parent_id, account.currency, tariff.name
            FROM account LEFT JOIN tariff ON tariff.id = account.tariff_id
            WHERE account.code = $1 FOR UPDATE OF account
            """,
            code,
        )
        assert before is not None
        found = await _tariff(connection, tariff, before["parent_id"], before["currency"], f"account {code}")
        await store.set_account(connection, code, {"tariff_id": found["id"]})
    name: str | None = before["name"]
    return name


async def _row(connection: Connection, code: str) -> dict[str, Any]:
    record = await connection.fetchrow(
        """
        SELECT account.currency, account_balance.granted, account_balance.balance, to_jsonb(account)::text AS row
        FROM account JOIN account_balance ON account_balance.account_id = account.id
        WHERE account.code = $1 FOR UPDATE OF account_balance
        """,
        code,
    )
    assert record is not None
    return {**record, "row": json.loads(record["row"])}


async def _reseller(connection: Connection, code: str) -> Row:
    found = await connection.fetchrow(
        "SELECT id, currency FROM account WHERE code = $1 AND kind = 'reseller' AND status <> 'closed'", code
    )
    if found is None:
        raise Refused("parent", "Reseller must be one of the list")
    return dict(found)


async def _tariff(connection: Connection, name: str, parent_id: int | None, currency: str | None, whose: str) -> Row:
    """The operator's, or one of the reseller directly above."""
    found = await connection.fetchrow(
        """
        SELECT id, currency FROM tariff
        WHERE name = $1 AND kind = 'customer' AND (owner_id IS NULL OR owner_id = $2)
        """,
        name,
        parent_id,
    )
    if found is None:
        raise Refused("tariff", "Tariff must be one of the list")
    if currency is not None and found["currency"] != currency:
        raise Refused("tariff", f"Tariff must be in {currency}, as {whose} is; {name} is in {found['currency']}")
    return dict(found)
