"""What the benchmark of the panel reads: accounts with devices, DIDs and entries of the ledger, a month of records.

Half of the customers are below one reseller. A few of them have most of the calls, as everywhere: the busiest one in
fifty, half of them have one in five. Every other call was answered and priced on every level.
"""

import asyncio
from typing import Final

import asyncpg

from tests.admin.data import HASH

RESELLER: Final = "RESL0001"
CUSTOMER: Final = "CUST0000001"
"""The busiest one of the reseller's."""
DAYS: Final = 31

_ACCOUNTS: Final = (
    """
    INSERT INTO tariff (name, kind, currency) SELECT 'tariff ' || n, 'customer', 'EUR' FROM generate_series(1, 20) AS n
    """,
    "INSERT INTO carrier (code, name, currency) SELECT 'CARR' || to_char(n, 'FM0000'), 'Carrier ' || n, 'EUR'"
    " FROM generate_series(1, 40) AS n",
    "INSERT INTO gateway (carrier_id, name, host)"
    " SELECT id, 'gateway-' || id, 'gw' || id || '.example.net' FROM carrier",
    "INSERT INTO route (name) SELECT 'route ' || n FROM generate_series(1, 50) AS n",
    "INSERT INTO account (code, kind, name, currency)"
    " SELECT 'RESL' || to_char(n, 'FM0000'), 'reseller', 'Reseller ' || n, 'EUR' FROM generate_series(1, 100) AS n",
    """
    INSERT INTO account (code, kind, parent_id, name, company, currency, tariff_id, max_sessions, cps)
    SELECT 'CUST' || to_char(n, 'FM0000000'), 'customer',
           CASE WHEN n % 2 = 1 THEN (SELECT id FROM account WHERE code = 'RESL0001') END,
           (ARRAY['Harbour', 'Garden', 'Station', 'Market', 'Castle', 'River', 'Bridge', 'Park'])[1 + n * 7 % 8] || ' '
               || (ARRAY['office', 'branch', 'shop', 'studio', 'desk', 'clinic'])[1 + n * 11 % 6] || ' ' || n,
           (ARRAY['Alpine', 'Baltic', 'Coastal', 'Delta', 'Eastern', 'Federal'])[1 + n * 13 % 6] || ' '
               || (ARRAY['Telecom', 'Trading', 'Hotels', 'Travel', 'Clinics'])[1 + n * 17 % 5] || ' ' || n,
           'EUR', (SELECT min(id) FROM tariff) + n % 20, 30, 10
    FROM generate_series(1, $1::integer) AS n
    """,
    "INSERT INTO ip_device (account_id, address, description)"
    " SELECT id, ('10.0.0.0'::inet + id)::cidr, 'PBX ' || id FROM account WHERE kind = 'customer'",
    "INSERT INTO sip_user (account_id, username, ha1_md5) SELECT id, 'phone' || id, md5(id::text)"
    " FROM account WHERE kind = 'customer' AND id % 4 = 0",
    "INSERT INTO did (number, account_id) SELECT '4930' || (1000000 + id), id FROM account"
    " WHERE kind = 'customer' AND id % 3 = 0",
    "INSERT INTO dialing_route (account_id, route_id) SELECT account.id, (SELECT min(id) FROM route) FROM account"
    " WHERE kind = 'customer'",
    "INSERT INTO ledger_entry (account_id, kind, amount, currency, created_at)"
    " SELECT id, CASE n WHEN 0 THEN 'payment' ELSE 'usage' END, CASE n WHEN 0 THEN 100 ELSE -n END, 'EUR',"
    " now() - interval '1 day' * n FROM account, generate_series(0, 4) AS n WHERE kind = 'customer'",
    # The busiest one has entries enough for many pages.
    "INSERT INTO ledger_entry (account_id, kind, amount, currency, created_at)"
    " SELECT id, CASE WHEN n % 10 = 0 THEN 'payment' ELSE 'usage' END, CASE WHEN n % 10 = 0 THEN 9 ELSE -1 END, 'EUR',"
    " now() - interval '3 minutes' * n FROM account, generate_series(1, 20000) AS n WHERE code = 'CUST0000001'",
    "UPDATE account_balance SET balance = total.amount FROM (SELECT account_id, sum(amount) AS amount FROM ledger_entry"
    " GROUP BY account_id) AS total WHERE total.account_id = account_balance.account_id",
    "INSERT INTO audit_entry (login, role, action, account_id, object, at)"
    " SELECT 'admin', 'administrator', 'customer.edit', id, 'account ' || code, now() - interval '1 minute' * id"
    " FROM account",
)
_LOGINS: Final = """
    INSERT INTO panel_user (login, password_hash, role, account_id)
    SELECT 'web' || id, $1, kind, id FROM account
    UNION ALL SELECT 'admin', $1, 'administrator', NULL
"""

_RECORDS: Final = """
    WITH made AS MATERIALIZED (
        SELECT n, gen_random_uuid() AS call_id, now() - interval '1 day' * ($1 + random()) AS received_at,
               1 + floor($3 * power(random(), 3))::integer AS customer, random() AS luck,
               (ARRAY['4420', '4930', '331', '3906', '1212', '9198', '8613', '5511', '2341', '6129'])
                   [1 + floor(10 * power(random(), 2))::integer]
                   || lpad(floor(random() * 10000000)::text, 7, '0') AS number,
               round((random() * 400)::numeric, 3) AS seconds
        FROM generate_series(1, $2) AS n
    ), record AS MATERIALIZED (
        SELECT made.*, account.id AS account_id, account.parent_id,
               array_remove(ARRAY[account.id, account.parent_id], NULL) AS chain,
               luck < 0.5 AS is_answered, (SELECT min(id) FROM carrier) + n % 40 AS carrier_id
        FROM made JOIN account ON account.code = 'CUST' || to_char(customer, 'FM0000000')
    ), posted AS (
        INSERT INTO cdr (call_id, attempt, is_last, received_at, answered_at, ended_at, post_dial_delay, duration,
                         account_id, account_chain, device, carrier_id, gateway_id, worker, a_call_id, source_received,
                         destination_received, destination_sent, a_address, a_transport, b_address, sip_code,
                         q850_cause, code, ended_by, gross, currency)
        SELECT call_id, 1, luck < 0.9, received_at, CASE WHEN is_answered THEN received_at END,
               received_at + interval '1 minute',
               round((luck * 5)::numeric, 3), CASE WHEN is_answered THEN seconds ELSE 0 END, account_id, chain,
               'ip:' || account_id, carrier_id, (SELECT min(id) FROM gateway) + n % 40, 'sip-1', call_id || '@caller',
               '4420' || lpad((account_id * 7919 % 10000000)::text, 7, '0'), number, '99#' || number,
               host('10.0.0.0'::inet + account_id) || ':5060', 'udp', '198.51.100.9:5060',
               CASE WHEN is_answered THEN 200 WHEN luck < 0.7 THEN 486 ELSE 503 END,
               CASE WHEN is_answered THEN 16 WHEN luck < 0.7 THEN 17 ELSE 34 END,
               CASE WHEN is_answered THEN 'ANSWERED' WHEN luck < 0.7 THEN 'BUSY' WHEN luck < 0.8 THEN 'SESSION_LIMIT'
                    ELSE 'CARRIER_FAILURE' END,
               'caller', CASE WHEN is_answered THEN round(seconds * 0.0013, 4) END, 'EUR'
        FROM record
    )
    INSERT INTO cdr_charge (call_id, attempt, received_at, level, account_id, carrier_id, tariff_id, rate_id,
                            billed_seconds, net, tax, gross, currency, profit)
    SELECT call_id, 1, received_at, level.number, CASE level.number WHEN -1 THEN NULL ELSE chain[level.number + 1] END,
           CASE level.number WHEN -1 THEN carrier_id END, 1, 1, ceil(seconds), price.net, 0, price.net, 'EUR',
           CASE level.number WHEN -1 THEN NULL ELSE round(seconds * 0.0001, 4) END
    FROM record CROSS JOIN LATERAL generate_series(-1, cardinality(chain) - 1) AS level (number)
    CROSS JOIN LATERAL (SELECT round(seconds * (0.0012 - 0.0001 * abs(level.number)), 4) AS net) AS price
    WHERE is_answered
"""


async def fill(url: str, customers: int, records: int) -> None:
    """Write all rows, as of now."""
    connection = await asyncpg.connect(url)
    try:
        for statement in _ACCOUNTS:
            await connection.execute(statement, *([customers] if "$1" in statement else []), timeout=600)
        await connection.execute(_LOGINS, HASH, timeout=600)
        for month in range(3):
            await connection.execute("SELECT cdr_ensure_partition(now() - interval '1 month' * $1)", month)
        for day in range(DAYS):
            await connection.execute(_RECORDS, day, records // DAYS + 1, customers, timeout=600)
        # Not by autovacuum, which would work while we measure.
        await connection.execute("VACUUM ANALYZE", timeout=600)
    finally:
        await connection.close()


async def be_quiet(superuser_url: str) -> None:
    """Keep autovacuum from working while we measure."""
    connection = await asyncpg.connect(superuser_url)
    try:
        await connection.execute("ALTER SYSTEM SET autovacuum = off")
        await connection.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(0.1)
    finally:
        await connection.close()
