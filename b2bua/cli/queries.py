"""The SQL of the command line: lists with filters and a keyset cursor, and single objects.

Rows come out as plain dictionaries whose keys are the columns that the commands show, in their order. A list takes one
row more than its limit, by which `Page` knows that there are more.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from rating.ledger import Connection

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, and where the next ones begin."""

    rows: list[Row]
    after: str | None
    """What `--after` takes to list on; None at the end."""


def page(records: Sequence[asyncpg.Record], limit: int, cursor: Callable[[Row], str]) -> Page:
    """Cut what was fetched with `limit + 1` to its limit."""
    rows = [dict(record) for record in records[:limit]]
    return Page(rows, cursor(rows[-1]) if len(records) > limit else None)


async def account_id(connection: Connection, code: str) -> int | None:
    """Return the id of the account with this code, None when there is none."""
    found: int | None = await connection.fetchval("SELECT id FROM account WHERE code = $1", code)
    return found


async def accounts(
    connection: Connection,
    *,
    kind: str | None = None,
    status: str | None = None,
    parent: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page:
    """List accounts by code; each filter that is None lets everything pass."""
    records = await connection.fetch(
        """
        SELECT account.code, account.name, account.kind, parent.code AS parent, account.status, account.billing_type,
            account_balance.balance, account.currency, tariff.name AS tariff, account.max_sessions, account.cps
        FROM account
        JOIN account_balance ON account_balance.account_id = account.id
        LEFT JOIN account AS parent ON parent.id = account.parent_id
        LEFT JOIN tariff ON tariff.id = account.tariff_id
        WHERE ($1::text IS NULL OR account.kind = $1)
            AND ($2::text IS NULL OR account.status = $2)
            AND ($3::text IS NULL OR parent.code = $3)
            AND ($4::text IS NULL OR account.code > $4)
        ORDER BY account.code
        LIMIT $5
        """,
        kind,
        status,
        parent,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["code"]))


async def account(connection: Connection, code: str) -> Row | None:
    """Return everything about one account."""
    record = await connection.fetchrow(
        """
        SELECT account.id, account.code, account.name, account.company, account.kind, parent.code AS parent,
            account.status, account.billing_type, account_balance.balance, account.currency, tariff.name AS tariff,
            account.decimals, account.rounding, account.tax_flag, account.tax_inclusive, account.tax_percents,
            account.credit_limit, account.max_sessions, account.cps, account.max_duration, account.codec_check,
            account.codecs, account.with_media, account.loss_guard, account.customer_type, account.payment_term,
            account.max_credit_limit, account.tax_certificate, account.cli_by_destination, account.email,
            account.phone, account.address, account.country, account.pin, account.own_ip_devices,
            account.own_sip_users, account.own_source_rules, account.own_destination_rules,
            account.own_did_source_rules, account.own_did_destination_rules, account.own_rates,
            ARRAY(
                SELECT dialing_route.pattern || ' over ' || route.name
                FROM dialing_route JOIN route ON route.id = dialing_route.route_id
                WHERE dialing_route.account_id = account.id ORDER BY dialing_route.pattern
            ) AS dialing_routes,
            ARRAY(
                SELECT route.name
                FROM reseller_route JOIN route ON route.id = reseller_route.route_id
                WHERE reseller_route.account_id = account.id ORDER BY route.name
            ) AS permitted_routes,
            (SELECT count(*) FROM did WHERE did.account_id = account.id) AS dids,
            (SELECT count(*) FROM account AS child WHERE child.parent_id = account.id) AS children,
            (SELECT count(*) FROM ip_device WHERE ip_device.account_id = account.id) AS ip_devices,
            (SELECT count(*) FROM sip_user WHERE sip_user.account_id = account.id) AS sip_users,
            account.created_at
        FROM account
        JOIN account_balance ON account_balance.account_id = account.id
        LEFT JOIN account AS parent ON parent.id = account.parent_id
        LEFT JOIN tariff ON tariff.id = account.tariff_id
        WHERE account.code = $1
        """,
        code,
    )
    return None if record is None else dict(record)


async def devices(
    connection: Connection, *, account: str | None = None, after: str | None = None, limit: int = 100
) -> Page:
    """List IP devices and SIP users by account, each with the name that a CDR gives it (`ip:7`, `user:9`)."""
    after_account, after_device = (after or ",").split(",", 1)
    records = await connection.fetch(
        """
        SELECT device.device, account.code AS account, device.kind, device.identity, device.dial_prefix,
            device.extension, device.address, device.port, device.transport, device.is_trusted, device.description,
            device.max_sessions, device.cps, device.status, device.srtp, device.dtmf
        FROM (
            SELECT 'ip:' || id AS device, account_id, 'ip' AS kind, address::text AS identity, dial_prefix,
                '' AS extension, address::text AS address, port, transport, is_trusted, description, max_sessions,
                cps, status, srtp, dtmf
            FROM ip_device
            UNION ALL
            SELECT 'user:' || id, account_id, 'user', username, '', extension, address::text, NULL, '', NULL, '',
                max_sessions, cps, status, srtp, dtmf
            FROM sip_user
        ) AS device
        JOIN account ON account.id = device.account_id
        WHERE ($1::text IS NULL OR account.code = $1)
            AND (account.code, device.device) > ($2, $3)
        ORDER BY account.code, device.device
        LIMIT $4
        """,
        account,
        after_account,
        after_device,
        limit + 1,
    )
    return page(records, limit, lambda row: f"{row['account']},{row['device']}")


async def sip_user_id(connection: Connection, username: str) -> int | None:
    """Return the id of the SIP user of this name, None when there is none."""
    found: int | None = await connection.fetchval("SELECT id FROM sip_user WHERE username = $1", username)
    return found


async def sip_users(connection: Connection, *, ids: list[int], account_ids: list[int] | None = None) -> list[Row]:
    """Return names and accounts of these SIP users; with `account_ids`, only of those that belong to one of them."""
    records = await connection.fetch(
        """
        SELECT sip_user.id, sip_user.username, account.code AS account
        FROM sip_user JOIN account ON account.id = sip_user.account_id
        WHERE sip_user.id = ANY($1) AND ($2::bigint[] IS NULL OR sip_user.account_id = ANY($2))
        """,
        ids,
        account_ids,
    )
    return [dict(record) for record in records]


async def gateways(
    connection: Connection, *, carrier: str | None = None, after: str | None = None, limit: int = 100
) -> Page:
    """List gateways by name."""
    records = await connection.fetch(
        """
        SELECT gateway.name, carrier.code AS carrier, gateway.host, gateway.port, gateway.transport, gateway.priority,
            gateway.weight, gateway.max_sessions, gateway.cps, gateway.invite_timeout, gateway.progress_timeout,
            gateway.ring_timeout, gateway.max_duration, gateway.is_trusted, gateway.probe_interval, gateway.status,
            gateway.tls_verify, gateway.prefers_tcp, gateway.reliable_ringing, gateway.session_timer,
            gateway.follows_redirects, gateway.identity, gateway.diversion, gateway.from_user, gateway.from_domain,
            gateway.passed_headers, gateway.added_headers, gateway.auth_user,
            gateway.auth_secret <> '' AS has_secret, gateway.registers, gateway.register_expires, gateway.srtp,
            gateway.dtmf
        FROM gateway JOIN carrier ON carrier.id = gateway.carrier_id
        WHERE ($1::text IS NULL OR carrier.code = $1) AND ($2::text IS NULL OR gateway.name > $2)
        ORDER BY gateway.name
        LIMIT $3
        """,
        carrier,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["name"]))


async def active_gateways(connection: Connection) -> list[Row]:
    """Where the gateways are that calls may go to, by name."""
    records = await connection.fetch(
        """
        SELECT gateway.name, gateway.host, gateway.port, gateway.transport
        FROM gateway JOIN carrier ON carrier.id = gateway.carrier_id
        WHERE gateway.status = 'active' AND carrier.status = 'active' ORDER BY gateway.name
        """
    )
    return [dict(record) for record in records]


async def registers_nobody(connection: Connection, name: str) -> bool:
    """Whether a gateway is to be registered at as nobody."""
    found: bool = await connection.fetchval(
        "SELECT registers AND auth_user = '' AND from_user = '' FROM gateway WHERE name = $1", name
    )
    return found


async def carrier_id(connection: Connection, code: str) -> int | None:
    """Return the id of the carrier with this code, None when there is none."""
    found: int | None = await connection.fetchval("SELECT id FROM carrier WHERE code = $1", code)
    return found


async def carriers(connection: Connection, *, after: str | None = None, limit: int = 100) -> Page:
    """List carriers by code."""
    records = await connection.fetch(
        """
        SELECT carrier.code, carrier.name, tariff.name AS tariff, carrier.currency, carrier.codecs,
            carrier.max_sessions, carrier.cps, carrier.decimals, carrier.rounding, carrier.tax_inclusive,
            carrier.tax_percents,
            (SELECT count(*) FROM gateway WHERE gateway.carrier_id = carrier.id) AS gateways, carrier.status
        FROM carrier LEFT JOIN tariff ON tariff.id = carrier.tariff_id
        WHERE $1::text IS NULL OR carrier.code > $1
        ORDER BY carrier.code
        LIMIT $2
        """,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["code"]))


async def tariffs(connection: Connection, *, after: str | None = None, limit: int = 100) -> Page:
    """List tariffs by name, with their ratecards in the order in which they are asked."""
    records = await connection.fetch(
        """
        SELECT tariff.name, tariff.kind, tariff.currency, tariff.status,
            (SELECT account.code FROM account WHERE account.id = tariff.owner_id) AS owner,
            ARRAY(
                SELECT ratecard.name
                FROM tariff_ratecard JOIN ratecard ON ratecard.id = tariff_ratecard.ratecard_id
                WHERE tariff_ratecard.tariff_id = tariff.id
                ORDER BY tariff_ratecard.priority, ratecard.name
            ) AS ratecards,
            (
                SELECT count(*)
                FROM tariff_ratecard JOIN rate ON rate.ratecard_id = tariff_ratecard.ratecard_id
                WHERE tariff_ratecard.tariff_id = tariff.id
            ) AS rates,
            (SELECT count(*) FROM account WHERE account.tariff_id = tariff.id)
                + (SELECT count(*) FROM carrier WHERE carrier.tariff_id = tariff.id) AS used_by
        FROM tariff
        WHERE $1::text IS NULL OR tariff.name > $1
        ORDER BY tariff.name
        LIMIT $2
        """,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["name"]))


async def ratecards(connection: Connection, *, after: str | None = None, limit: int = 100) -> Page:
    """List ratecards by name, with the tariffs that they are in."""
    records = await connection.fetch(
        """
        SELECT ratecard.name, ratecard.direction,
            (SELECT account.code FROM account WHERE account.id = ratecard.owner_id) AS owner,
            ARRAY(
                SELECT tariff.name
                FROM tariff_ratecard JOIN tariff ON tariff.id = tariff_ratecard.tariff_id
                WHERE tariff_ratecard.ratecard_id = ratecard.id
                ORDER BY tariff.name
            ) AS tariffs,
            (SELECT count(*) FROM rate WHERE rate.ratecard_id = ratecard.id) AS rates
        FROM ratecard
        WHERE $1::text IS NULL OR ratecard.name > $1
        ORDER BY ratecard.name
        LIMIT $2
        """,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["name"]))


async def rates(
    connection: Connection,
    *,
    ratecard_id: int,
    prefix: str = "",
    number: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> Page:
    """List the rates of a ratecard by prefix and date: those whose prefix begins so, or is one of a number."""
    records = await connection.fetch(
        """
        SELECT id, prefix, destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace,
            multiplier, addition, setup, rental, channels, status,
            CASE WHEN isfinite(valid_from) THEN valid_from END AS valid_from,
            CASE WHEN isfinite(valid_until) THEN valid_until END AS valid_until
        FROM rate
        WHERE ratecard_id = $1 AND starts_with(prefix, $2)
            AND (
                $3::text IS NULL
                OR prefix = ANY(ARRAY(SELECT left($3, size) FROM generate_series(0, length($3)) AS size))
            )
            AND (
                $4::bigint IS NULL
                OR (prefix, rate.valid_from) > (SELECT old.prefix, old.valid_from FROM rate AS old WHERE old.id = $4)
            )
        ORDER BY prefix, rate.valid_from
        LIMIT $5
        """,
        ratecard_id,
        prefix,
        number,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["id"]))


async def account_ids_below(connection: Connection, code: str) -> list[int]:
    """Return the ids of an account and of every account below it; empty when no account has this code."""
    records = await connection.fetch(
        """
        WITH RECURSIVE tree AS (
            SELECT id FROM account WHERE code = $1
            UNION
            SELECT account.id FROM account JOIN tree ON account.parent_id = tree.id
        )
        SELECT id FROM tree
        """,
        code,
    )
    return [record["id"] for record in records]


@dataclass(frozen=True, slots=True)
class CDRCursor:
    """Where a list of CDRs, newest first, goes on."""

    received_at: datetime
    call_id: UUID
    attempt: int


async def cdrs(
    connection: Connection,
    *,
    since: datetime,
    account_ids: list[int] | None = None,
    code: str | None = None,
    after: CDRCursor | None = None,
    limit: int = 100,
) -> Page:
    """List attempts received since then, the newest first."""
    records = await connection.fetch(
        """
        SELECT cdr.received_at, cdr.call_id, cdr.attempt, cdr.is_last, account.code AS account, cdr.device,
            cdr.source_received AS source, cdr.destination_received AS destination, carrier.code AS carrier,
            gateway.name AS gateway, cdr.sip_code, cdr.code, cdr.object, cdr.duration, cdr.gross, cdr.currency
        FROM cdr
        LEFT JOIN account ON account.id = cdr.account_id
        LEFT JOIN carrier ON carrier.id = cdr.carrier_id
        LEFT JOIN gateway ON gateway.id = cdr.gateway_id
        WHERE cdr.received_at >= $1
            AND ($2::bigint[] IS NULL OR cdr.account_id = ANY($2))
            AND ($3::text IS NULL OR cdr.code = $3)
            AND ($4::timestamptz IS NULL OR cdr.received_at < $4
                OR (cdr.received_at = $4 AND (cdr.call_id, cdr.attempt) > ($5::uuid, $6::smallint)))
        ORDER BY cdr.received_at DESC, cdr.call_id, cdr.attempt
        LIMIT $7
        """,
        since,
        account_ids,
        code,
        after and after.received_at,
        after and after.call_id,
        after and after.attempt,
        limit + 1,
    )
    return page(
        records,
        limit,
        lambda row: f"{row['received_at'].isoformat()},{row['call_id']},{row['attempt']}".replace("+00:00", "Z"),
    )


async def cdr_attempts(connection: Connection, call_id: UUID) -> list[Row]:
    """Return the whole record of each attempt of one call, in order."""
    records = await connection.fetch(
        """
        SELECT cdr.call_id, cdr.attempt, cdr.is_last, cdr.received_at, cdr.ringing_at, cdr.answered_at, cdr.ended_at,
            cdr.post_dial_delay, cdr.duration, account.code AS account,
            ARRAY(
                SELECT above.code
                FROM unnest(cdr.account_chain) WITH ORDINALITY AS level (account_id, position)
                JOIN account AS above ON above.id = level.account_id
                ORDER BY level.position
            ) AS account_chain,
            cdr.device, carrier.code AS carrier, gateway.name AS gateway, route.name AS route, cdr.worker,
            cdr.a_call_id, cdr.b_call_id, cdr.source_received, cdr.source_sent, cdr.destination_received,
            cdr.destination_sent, cdr.a_address, cdr.a_transport, cdr.a_user_agent, cdr.b_address, cdr.b_transport,
            cdr.b_user_agent, cdr.sip_code, cdr.q850_cause, cdr.code, cdr.object, cdr.ended_by, cdr.reason,
            cdr.codecs_offered, cdr.codec_used, cdr.media_mode, cdr.gross, cdr.currency,
            cdr.a_packets, cdr.a_lost, cdr.a_jitter_ms, cdr.a_mos, cdr.a_round_trip_ms,
            cdr.b_packets, cdr.b_lost, cdr.b_jitter_ms, cdr.b_mos, cdr.b_round_trip_ms, cdr.audio
        FROM cdr
        LEFT JOIN account ON account.id = cdr.account_id
        LEFT JOIN carrier ON carrier.id = cdr.carrier_id
        LEFT JOIN gateway ON gateway.id = cdr.gateway_id
        LEFT JOIN route ON route.id = cdr.route_id
        WHERE cdr.call_id = $1
        ORDER BY cdr.attempt
        """,
        call_id,
    )
    return [dict(record) for record in records]


async def cdr_charges(connection: Connection, call_id: UUID) -> list[Row]:
    """Return what each level pays and the carrier costs, per attempt of one call; the carrier stands last."""
    records = await connection.fetch(
        """
        SELECT charge.call_id, charge.attempt, charge.level,
            CASE WHEN charge.carrier_id IS NULL THEN account.kind ELSE 'carrier' END AS payer,
            coalesce(account.code, carrier.code) AS code, tariff.name AS tariff, rate.prefix, rate.destination,
            rate.rate_per_minute, charge.billed_seconds, charge.net, charge.tax, charge.gross, charge.currency,
            charge.profit
        FROM cdr_charge AS charge
        LEFT JOIN account ON account.id = charge.account_id
        LEFT JOIN carrier ON carrier.id = charge.carrier_id
        LEFT JOIN tariff ON tariff.id = charge.tariff_id
        LEFT JOIN rate ON rate.id = charge.rate_id
        WHERE charge.call_id = $1
        ORDER BY charge.attempt, charge.level < 0, charge.level
        """,
        call_id,
    )
    return [dict(record) for record in records]


async def payments(
    connection: Connection,
    *,
    account: str | None = None,
    after: int | None = None,
    limit: int = 100,
) -> Page:
    """List what was booked by hand, the newest first: every ledger entry but usage."""
    records = await connection.fetch(
        """
        SELECT ledger_entry.id, ledger_entry.created_at, account.code AS account, ledger_entry.kind,
            ledger_entry.amount, ledger_entry.currency, ledger_entry.reference, ledger_entry.note
        FROM ledger_entry JOIN account ON account.id = ledger_entry.account_id
        WHERE ledger_entry.kind <> 'usage'
            AND ($1::text IS NULL OR account.code = $1)
            AND ($2::bigint IS NULL OR ledger_entry.id < $2)
        ORDER BY ledger_entry.id DESC
        LIMIT $3
        """,
        account,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["id"]))


async def logins(
    connection: Connection,
    *,
    role: str | None = None,
    account: str | None = None,
    after: str | None = None,
    limit: int = 100,
) -> Page:
    """List the logins of the panel by name; `locked`: after too many failures, for some time."""
    records = await connection.fetch(
        """
        SELECT panel_user.login, panel_user.role, account.code AS account,
            CASE WHEN panel_user.status = 'active' AND panel_user.locked_until > now() THEN 'locked'
                 ELSE panel_user.status END AS status,
            panel_user.totp_secret IS NOT NULL AS second_factor, panel_user.signed_in_at
        FROM panel_user LEFT JOIN account ON account.id = panel_user.account_id
        WHERE ($1::text IS NULL OR panel_user.role = $1)
            AND ($2::text IS NULL OR account.code = $2)
            AND ($3::text IS NULL OR panel_user.login > $3)
        ORDER BY panel_user.login
        LIMIT $4
        """,
        role,
        account,
        after,
        limit + 1,
    )
    return page(records, limit, lambda row: str(row["login"]))


async def server_version(connection: Connection) -> str:
    """Return the version of PostgreSQL, such as `18.1`."""
    version: str = await connection.fetchval("SELECT split_part(current_setting('server_version'), ' ', 1)")
    return version


async def server_time(connection: Connection) -> datetime:
    """Return what the clock of the database shows."""
    moment: datetime = await connection.fetchval("SELECT clock_timestamp()")
    return moment


@dataclass(frozen=True, slots=True)
class WriterBeat:
    """The last life sign of a CDR writer."""

    name: str
    age: Decimal
    """Seconds since it, by the clock of the database."""
    backlog: int
    """What it had not yet written into the database then, in bytes."""


async def writer_beats(connection: Connection) -> list[WriterBeat]:
    """Return the last life sign of every CDR writer."""
    records = await connection.fetch(
        """
        SELECT name, extract(epoch FROM clock_timestamp() - beat_at) AS age, backlog_bytes
        FROM cdr_writer ORDER BY name
        """
    )
    return [WriterBeat(record["name"], record["age"], record["backlog_bytes"]) for record in records]
