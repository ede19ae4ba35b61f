"""The SQL that changes customers, resellers and their devices.

What changes of a row comes as a dictionary of columns, and PostgreSQL lays it over the row that there is. Every change
of the configuration is a revision that all workers take up, so what would change nothing is not written.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import asyncpg

from b2bua.account.errors import AlreadyThere
from rating.ledger import Connection

Values = Mapping[str, Any]
"""Columns and their new values, as JSON has them: amounts, addresses and hours are texts."""


@contextmanager
def unique(what: str) -> Iterator[None]:
    """Say that there is such a thing already where the database finds two of it."""
    try:
        yield
    except asyncpg.UniqueViolationError:
        raise AlreadyThere(f"{what} already") from None


async def change_row(connection: Connection, compare: str, update: str, key: object, values: Values) -> bool:
    """Lay values over a row; False: there is no such row."""
    document = json.dumps(dict(values))
    async with connection.transaction():
        differs: bool | None = await connection.fetchval(compare, key, document)
        if differs:
            await connection.execute(update, key, document)
    return differs is not None


async def delete_row(connection: Connection, find: str, delete: str, *key: object) -> bool:
    """Delete a row; False: there is no such row."""
    async with connection.transaction():
        found: bool = await connection.fetchval(find, *key)
        if found:
            await connection.execute(delete, *key)
    return found


# Accounts


async def set_account_status(connection: Connection, code: str, status: str) -> str | None:
    """Suspend or activate an account and return the status it had; a closed one stays closed.

    None: no account has this code.
    """
    async with connection.transaction():
        old: str | None = await connection.fetchval("SELECT status FROM account WHERE code = $1 FOR UPDATE", code)
        if old is not None and old not in (status, "closed"):
            await connection.execute("UPDATE account SET status = $2 WHERE code = $1", code, status)
        return old


async def next_account_code(connection: Connection, kind: str) -> str:
    """Return a code that no account has, such as CUST0007 for a customer."""
    while True:
        code: str = await connection.fetchval(
            """
            SELECT $1 || lpad(number::text, greatest(4, length(number::text)), '0')
            FROM nextval('account_code') AS number
            """,
            "RESE" if kind == "reseller" else "CUST",
        )
        if not await connection.fetchval("SELECT EXISTS (SELECT FROM account WHERE code = $1)", code):
            return code


async def add_account(
    connection: Connection, code: str, *, kind: str, name: str, currency: str, parent_id: int | None, values: Values
) -> None:
    """Make an account, of which everything else is as `values` say, or as is usual."""
    async with connection.transaction():
        with unique(f"there is an account {code}"):
            await connection.execute(
                "INSERT INTO account (code, kind, name, currency, parent_id) VALUES ($1, $2, $3, $4, $5)",
                code,
                kind,
                name,
                currency,
                parent_id,
            )
        await set_account(connection, code, values)


async def set_account(connection: Connection, code: str, values: Values) -> bool:
    """Change an account; False: no account has this code."""
    return await change_row(
        connection,
        """
        SELECT account IS DISTINCT FROM jsonb_populate_record(account, $2::jsonb)
        FROM account WHERE code = $1 FOR UPDATE
        """,
        """
        UPDATE account SET (name, company, tariff_id, billing_type, credit_limit, decimals, rounding, tax_flag,
            tax_inclusive, tax_percents, max_sessions, cps, max_duration, codec_check, codecs, with_media, loss_guard,
            customer_type, payment_term, max_credit_limit, tax_certificate, cli_by_destination, email, address, phone,
            country, pin, own_ip_devices, own_sip_users, own_source_rules, own_destination_rules, own_did_source_rules,
            own_did_destination_rules, own_rates)
        = (
            SELECT name, company, tariff_id, billing_type, credit_limit, decimals, rounding, tax_flag,
                tax_inclusive, tax_percents, max_sessions, cps, max_duration, codec_check, codecs, with_media,
                loss_guard, customer_type, payment_term, max_credit_limit, tax_certificate, cli_by_destination, email,
                address, phone, country, pin, own_ip_devices, own_sip_users, own_source_rules, own_destination_rules,
                own_did_source_rules, own_did_destination_rules, own_rates
            FROM jsonb_populate_record(account, $2::jsonb)
        )
        WHERE code = $1
        """,
        code,
        values,
    )


# Devices


async def add_ip_device(connection: Connection, account_id: int, address: str, values: Values) -> int:
    """Make an IP device and return its id."""
    async with connection.transaction():
        with unique(f"there is an IP device {address} with that dial prefix"):
            device: int = await connection.fetchval(
                """
                INSERT INTO ip_device (account_id, address, dial_prefix) VALUES ($1, $2::text::cidr, $3) RETURNING id
                """,
                account_id,
                address,
                values.get("dial_prefix", ""),
            )
        await set_ip_device(connection, device, values)
    return device


async def set_ip_device(connection: Connection, device_id: int, values: Values) -> bool:
    """Change an IP device; False: there is no such device."""
    return await change_row(
        connection,
        """
        SELECT ip_device IS DISTINCT FROM jsonb_populate_record(ip_device, $2::jsonb)
        FROM ip_device WHERE id = $1 FOR UPDATE
        """,
        """
        UPDATE ip_device SET (address, dial_prefix, description, port, transport, is_trusted, max_sessions, cps, status,
            srtp, dtmf)
        = (
            SELECT address, dial_prefix, description, port, transport, is_trusted, max_sessions, cps, status, srtp,
                dtmf
            FROM jsonb_populate_record(ip_device, $2::jsonb)
        )
        WHERE id = $1
        """,
        device_id,
        values,
    )


async def add_sip_user(connection: Connection, account_id: int, username: str, ha1_md5: str, values: Values) -> int:
    """Make a SIP user and return its id."""
    async with connection.transaction():
        with unique(f"there is a SIP user {username}"):
            user: int = await connection.fetchval(
                "INSERT INTO sip_user (account_id, username, ha1_md5) VALUES ($1, $2, $3) RETURNING id",
                account_id,
                username,
                ha1_md5,
            )
        await set_sip_user(connection, user, values)
    return user


async def set_sip_user(connection: Connection, user_id: int, values: Values) -> bool:
    """Change a SIP user; False: there is no such user."""
    with unique(f"the account has a SIP user with extension {values.get('extension')}"):
        return await change_row(
            connection,
            """
            SELECT sip_user IS DISTINCT FROM jsonb_populate_record(sip_user, $2::jsonb)
            FROM sip_user WHERE id = $1 FOR UPDATE
            """,
            """
            UPDATE sip_user SET (ha1_md5, extension, address, max_sessions, cps, status, voice_mail,
                voice_mail_email, srtp, dtmf)
            = (
                SELECT ha1_md5, extension, address, max_sessions, cps, status, voice_mail, voice_mail_email, srtp, dtmf
                FROM jsonb_populate_record(sip_user, $2::jsonb)
            )
            WHERE id = $1
            """,
            user_id,
            values,
        )


async def remove_device(connection: Connection, kind: str, device_id: int) -> None:
    """Delete an IP device (`ip`) or a SIP user (`user`)."""
    if kind == "ip":
        await connection.execute("DELETE FROM ip_device WHERE id = $1", device_id)
    else:
        await connection.execute("DELETE FROM sip_user WHERE id = $1", device_id)
