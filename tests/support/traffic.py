"""Whether what is kept of records is what they come to, to the last decimal."""

from typing import Any, Final

# Read from the records each time, in the plainest way.
_FIGURES: Final = """
    WITH part AS (
        SELECT record.*, split.kind AS part_kind, split.key,
               (record.received_at AT TIME ZONE 'UTC')::date AS day
        FROM cdr AS record,
        LATERAL (
            SELECT CASE record.destination_used WHEN '' THEN record.destination_received
                   ELSE record.destination_used END AS number
        ) AS called,
        LATERAL (
            SELECT 'hour' AS kind, to_char(record.received_at AT TIME ZONE 'UTC', 'HH24') AS key
            UNION ALL SELECT 'device', record.device
            UNION ALL SELECT 'carrier', record.carrier_id::text
            UNION ALL SELECT 'code', record.code
            UNION ALL SELECT 'answer', record.sip_code || ' ' || coalesce(record.q850_cause, 0)
            UNION ALL SELECT 'prefix', substr(called.number, 1, 5)
            UNION ALL SELECT 'country',
                CASE record.kind WHEN 'on_net' THEN 'on_net' ELSE substr(called.number, 1, 3) END
        ) AS split
        WHERE split.key <> ''
    ), expected AS (
        SELECT coalesce(account.id, 0) AS account_id, part_kind, key, day,
               sum(CASE WHEN is_last THEN calls ELSE 0 END)::bigint,
               sum(CASE WHEN attempt > 0 THEN calls ELSE 0 END)::bigint,
               sum(CASE WHEN code = 'ANSWERED' THEN 1 ELSE 0 END)::bigint, sum(duration), count(post_dial_delay),
               sum(coalesce(post_dial_delay, 0))
        FROM part
        CROSS JOIN (SELECT id FROM account WHERE kind = 'reseller' UNION ALL SELECT NULL) AS account (id)
        WHERE account.id IS NULL OR account.id = ANY (part.account_chain)
        GROUP BY 1, 2, 3, 4
    ), kept AS (
        SELECT account_id, kind, key, day, calls, attempts, answered, seconds, delays, delayed FROM traffic
    )
    (TABLE expected EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE expected)
"""

_MONEY: Final = """
    WITH named AS (
        SELECT id, kind FROM account UNION ALL SELECT 0, 'reseller'
    ), price AS (
        SELECT named.id AS account_id, 0::bigint AS viewer_id, (received_at AT TIME ZONE 'UTC')::date AS day, currency,
               sum(gross) AS price, count(gross) AS prices, NULL::numeric AS cost, 0::bigint AS costs,
               NULL::numeric AS profit, 0::bigint AS profits
        FROM cdr JOIN named ON named.id = 0 OR named.id = ANY (account_chain)
        WHERE currency <> '' GROUP BY 1, 3, 4
    ), share AS (
        SELECT named.id AS account_id, viewer.id AS viewer_id, (charge.received_at AT TIME ZONE 'UTC')::date AS day,
               charge.currency, NULL::numeric, 0::bigint,
               sum(charge.gross) FILTER (WHERE coalesce(charge.account_id, 0) = viewer.id),
               count(*) FILTER (WHERE coalesce(charge.account_id, 0) = viewer.id),
               sum(profit) FILTER (WHERE level >= 0 AND level = coalesce(array_position(account_chain, viewer.id) - 1,
                                                          cardinality(account_chain)) - 1),
               count(profit) FILTER (WHERE level >= 0 AND level = coalesce(array_position(account_chain, viewer.id) - 1,
                                                            cardinality(account_chain)) - 1)
        FROM cdr JOIN cdr_charge AS charge USING (call_id, attempt, received_at)
        JOIN named ON named.id = 0 OR named.id = ANY (account_chain)
        JOIN named AS viewer ON viewer.kind = 'reseller' AND (viewer.id = 0 OR (
            viewer.id = ANY (account_chain) AND named.id <> 0
            AND array_position(account_chain, named.id) <= array_position(account_chain, viewer.id)))
        WHERE code = 'ANSWERED' GROUP BY 1, 2, 3, 4
    ), expected AS (
        SELECT account_id, viewer_id, day, currency, coalesce(sum(price), 0) AS price, sum(prices) AS prices,
               coalesce(sum(cost), 0) AS cost, sum(costs) AS costs, coalesce(sum(profit), 0) AS profit,
               sum(profits) AS profits
        FROM (TABLE price UNION ALL TABLE share) AS part GROUP BY 1, 2, 3, 4
        HAVING sum(prices) > 0 OR sum(costs) > 0 OR sum(profits) > 0
    ), kept AS (
        SELECT account_id, viewer_id, day, currency, sum(price), sum(prices), sum(cost), sum(costs), sum(profit),
               sum(profits)
        FROM traffic_money GROUP BY 1, 2, 3, 4
        HAVING sum(prices) > 0 OR sum(costs) > 0 OR sum(profits) > 0
    )
    (TABLE expected EXCEPT TABLE kept) UNION ALL (TABLE kept EXCEPT TABLE expected)
"""


async def differences(connection: Any) -> list[tuple[Any, ...]]:
    """Rows of what is kept that differ from what the records come to, and the other way round."""
    found = [*await connection.fetch(_FIGURES), *await connection.fetch(_MONEY)]
    return [tuple(row) for row in found]
