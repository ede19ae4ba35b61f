-- What call records come to, by day, kept with every change of them, so that figures of a month need not be added up from a million
-- records. And indexes that find a part of a word.

-- Of a reseller with all below it, or of everybody (account 0); of a customer the records themselves are few enough. What a day is
-- split by is the kind; its key is the hour ('00'), the first digits of the called number ('country' 3, 'prefix' 5), the device,
-- the carrier's id, the code, or SIP code and Q.850 cause with a space between ('answer').
CREATE TABLE traffic (
    account_id  bigint NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('hour', 'country', 'prefix', 'device', 'carrier', 'code', 'answer')),
    day         date NOT NULL,                       -- of arrival, in UTC
    key         text NOT NULL,
    calls       bigint NOT NULL,
    attempts    bigint NOT NULL,
    answered    bigint NOT NULL,
    seconds     numeric NOT NULL,
    delays      bigint NOT NULL,
    delayed     numeric NOT NULL,
    PRIMARY KEY (account_id, kind, key, day)
) PARTITION BY RANGE (day);
CREATE INDEX traffic_most ON traffic (account_id, kind, day, calls DESC) WHERE kind IN ('prefix', 'device');

-- Money of a day's records, of everybody (account 0) and of each account with those below it: the price that accounts pay is in rows of viewer 0; cost and profit are what the viewer, a reseller or
-- the operator (0), pays for them and earns with them. The counts tell nothing from 0. Part 0 is of records that arrived; one that
-- is priced again adds differences in a part of its transaction, so that it waits for nobody who posts meanwhile.
CREATE TABLE traffic_money (
    account_id  bigint NOT NULL,
    viewer_id   bigint NOT NULL,
    day         date NOT NULL,
    currency    text NOT NULL,
    part        bigint NOT NULL,
    price       numeric NOT NULL,
    prices      bigint NOT NULL,
    cost        numeric NOT NULL,
    costs       bigint NOT NULL,
    profit      numeric NOT NULL,
    profits     bigint NOT NULL,
    PRIMARY KEY (account_id, viewer_id, day, currency, part)
) PARTITION BY RANGE (day);

CREATE OR REPLACE FUNCTION cdr_ensure_partition(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month_start  date := date_trunc('month', at AT TIME ZONE 'UTC');
    month_end    date := month_start + interval '1 month';
    suffix       text := to_char(month_start, 'YYYY_MM');
    parent       text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['cdr', 'cdr_charge', 'call_trace', 'traffic', 'traffic_money'] LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || '_' || suffix, parent,
            month_start::text || ' 00:00:00+00', month_end::text || ' 00:00:00+00');
    END LOOP;
END $$;

-- Whose figures a record is in: its money besides in those of the customer. Each account is looked up by itself: in a join, all resellers
-- may be read for each record.
CREATE FUNCTION traffic_accounts(chain bigint[]) RETURNS TABLE (id bigint) LANGUAGE sql STABLE AS $$
    SELECT above.id FROM unnest(0 || chain) AS above (id)
    WHERE above.id = 0 OR (SELECT account.kind FROM account WHERE account.id = above.id) = 'reseller'
$$;

-- Whose cost and profit a charge is, in whose figures. The level below a reseller's own says what it earns, the highest what the operator does.
CREATE FUNCTION traffic_shares(chain bigint[], level smallint, payer bigint, gross numeric, profit numeric)
    RETURNS TABLE (account_id bigint, viewer_id bigint, cost numeric, profit numeric) LANGUAGE sql STABLE AS $$
    SELECT seen.id, share.viewer_id, share.cost, share.profit
    FROM (
        SELECT CASE WHEN level = -1 THEN 0 ELSE payer END AS viewer_id, gross AS cost, NULL::numeric AS profit
        UNION ALL
        SELECT CASE WHEN level = cardinality(chain) - 1 THEN 0 ELSE chain[level + 2] END, NULL, profit WHERE level >= 0
    ) AS share
    CROSS JOIN LATERAL unnest(0 || chain) AS seen (id)
    WHERE (share.viewer_id = 0 AND seen.id IS NOT NULL)
       OR (seen.id <> 0 AND array_position(chain, seen.id) <= array_position(chain, share.viewer_id)
           AND (SELECT account.kind FROM account WHERE account.id = share.viewer_id) = 'reseller')
$$;

DO $make$
DECLARE
    -- The same for records that arrive and for those that are there.
    figures text := $sql$
        INSERT INTO traffic AS kept (account_id, kind, day, key, calls, attempts, answered, seconds, delays, delayed)
        SELECT seen.id, part.kind, (record.received_at AT TIME ZONE 'UTC')::date, part.key,
               coalesce(sum(record.calls) FILTER (WHERE record.is_last), 0),
               coalesce(sum(record.calls) FILTER (WHERE record.attempt > 0), 0),
               count(*) FILTER (WHERE record.code = 'ANSWERED'),
               sum(record.duration), count(record.post_dial_delay), coalesce(sum(record.post_dial_delay), 0)
        FROM %1$s AS record
        CROSS JOIN LATERAL traffic_accounts(record.account_chain) AS seen
        CROSS JOIN LATERAL (SELECT coalesce(nullif(record.destination_used, ''), record.destination_received) AS number) AS called
        CROSS JOIN LATERAL (VALUES
            ('hour', to_char(record.received_at AT TIME ZONE 'UTC', 'HH24')),
            ('country', CASE record.kind WHEN 'on_net' THEN 'on_net' ELSE left(called.number, 3) END),
            ('prefix', left(called.number, 5)),
            ('device', record.device),
            ('carrier', record.carrier_id::text),
            ('code', record.code),
            ('answer', record.sip_code || ' ' || coalesce(record.q850_cause, 0))
        ) AS part (kind, key)
        WHERE part.key <> ''
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 4, 3
        ON CONFLICT (account_id, kind, key, day) DO UPDATE
        SET calls = kept.calls + excluded.calls, attempts = kept.attempts + excluded.attempts,
            answered = kept.answered + excluded.answered, seconds = kept.seconds + excluded.seconds,
            delays = kept.delays + excluded.delays, delayed = kept.delayed + excluded.delayed
    $sql$;
    prices text := $sql$
        INSERT INTO traffic_money AS kept
            (account_id, viewer_id, day, currency, part, price, prices, cost, costs, profit, profits)
        SELECT seen.id, 0, (record.received_at AT TIME ZONE 'UTC')::date, record.currency, 0,
               coalesce(sum(record.gross), 0), count(record.gross), 0, 0, 0, 0
        FROM %1$s AS record
        CROSS JOIN LATERAL unnest(0 || record.account_chain) AS seen (id)
        WHERE record.currency <> '' AND seen.id IS NOT NULL
        GROUP BY 1, 3, 4
        ORDER BY 1, 3, 4
        ON CONFLICT (account_id, viewer_id, day, currency, part) DO UPDATE
        SET price = kept.price + excluded.price, prices = kept.prices + excluded.prices
    $sql$;
    costs text := $sql$
        INSERT INTO traffic_money AS kept
            (account_id, viewer_id, day, currency, part, price, prices, cost, costs, profit, profits)
        SELECT share.account_id, share.viewer_id, (charge.received_at AT TIME ZONE 'UTC')::date, charge.currency, 0,
               0, 0, coalesce(sum(share.cost), 0), count(share.cost), coalesce(sum(share.profit), 0), count(share.profit)
        FROM %1$s AS charge
        JOIN cdr AS record ON record.call_id = charge.call_id AND record.attempt = charge.attempt
                          AND record.received_at = charge.received_at
        CROSS JOIN LATERAL traffic_shares(record.account_chain, charge.level, charge.account_id, charge.gross,
                                          charge.profit) AS share
        WHERE record.code = 'ANSWERED'
        GROUP BY 1, 2, 3, 4
        ORDER BY 1, 2, 3, 4
        ON CONFLICT (account_id, viewer_id, day, currency, part) DO UPDATE
        SET cost = kept.cost + excluded.cost, costs = kept.costs + excluded.costs,
            profit = kept.profit + excluded.profit, profits = kept.profits + excluded.profits
    $sql$;
    month text;
BEGIN
    -- A plan for few rows, whatever is known of the tables: made for an empty table it would read a full one from end to end.
    EXECUTE format('CREATE FUNCTION traffic_of_records() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN %s; %s; RETURN NULL; END $f$',
        format(figures, 'new_rows'), format(prices, 'new_rows'));
    EXECUTE format('CREATE FUNCTION traffic_of_charges() RETURNS trigger LANGUAGE plpgsql '
        'SET enable_hashjoin = off SET enable_mergejoin = off SET enable_seqscan = off AS $f$ BEGIN %s; RETURN NULL; END $f$',
        format(costs, 'new_rows'));
    CREATE TRIGGER traffic_counted AFTER INSERT ON cdr
        REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION traffic_of_records();
    CREATE TRIGGER traffic_counted AFTER INSERT ON cdr_charge
        REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION traffic_of_charges();
    FOR month IN SELECT substring(inhrelid::regclass::text FROM '\d{4}_\d{2}$') FROM pg_inherits WHERE inhparent = 'cdr'::regclass LOOP
        PERFORM cdr_ensure_partition(to_timestamp(month || ' 15 +00', 'YYYY_MM DD TZH'));
    END LOOP;
    EXECUTE format(figures, 'cdr');
    EXECUTE format(prices, 'cdr');
    EXECUTE format(costs, 'cdr_charge');
END $make$;

-- A call that is priced again.
CREATE FUNCTION traffic_of_price() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO traffic_money AS kept
        (account_id, viewer_id, day, currency, part, price, prices, cost, costs, profit, profits)
    SELECT seen.id, 0, (NEW.received_at AT TIME ZONE 'UTC')::date, NEW.currency, pg_current_xact_id()::text::bigint,
           coalesce(NEW.gross, 0) - coalesce(OLD.gross, 0), num_nonnulls(NEW.gross) - num_nonnulls(OLD.gross), 0, 0, 0, 0
    FROM unnest(0 || NEW.account_chain) AS seen (id)
    WHERE NEW.currency <> '' AND seen.id IS NOT NULL
    ON CONFLICT (account_id, viewer_id, day, currency, part) DO UPDATE
    SET price = kept.price + excluded.price, prices = kept.prices + excluded.prices;
    RETURN NULL;
END $$;
CREATE TRIGGER traffic_priced AFTER UPDATE OF gross ON cdr
    FOR EACH ROW WHEN (OLD.gross IS DISTINCT FROM NEW.gross) EXECUTE FUNCTION traffic_of_price();

CREATE FUNCTION traffic_of_charge() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO traffic_money AS kept
        (account_id, viewer_id, day, currency, part, price, prices, cost, costs, profit, profits)
    SELECT share.account_id, share.viewer_id, (NEW.received_at AT TIME ZONE 'UTC')::date, NEW.currency,
           pg_current_xact_id()::text::bigint, 0, 0, coalesce(sum(change.sign * share.cost), 0),
           coalesce(sum(change.sign * num_nonnulls(share.cost)), 0), coalesce(sum(change.sign * share.profit), 0),
           coalesce(sum(change.sign * num_nonnulls(share.profit)), 0)
    FROM (VALUES (-1, OLD.gross, OLD.profit), (1, NEW.gross, NEW.profit)) AS change (sign, gross, profit)
    JOIN cdr AS record ON record.call_id = NEW.call_id AND record.attempt = NEW.attempt AND record.received_at = NEW.received_at
    CROSS JOIN LATERAL traffic_shares(record.account_chain, NEW.level, NEW.account_id, change.gross, change.profit) AS share
    WHERE record.code = 'ANSWERED'
    GROUP BY 1, 2
    ON CONFLICT (account_id, viewer_id, day, currency, part) DO UPDATE
    SET cost = kept.cost + excluded.cost, costs = kept.costs + excluded.costs,
        profit = kept.profit + excluded.profit, profits = kept.profits + excluded.profits;
    RETURN NULL;
END $$;
CREATE TRIGGER traffic_priced AFTER UPDATE OF gross, profit ON cdr_charge
    FOR EACH ROW WHEN ((OLD.gross, OLD.profit) IS DISTINCT FROM (NEW.gross, NEW.profit)) EXECUTE FUNCTION traffic_of_charge();

-- Searches. A server without the extensions finds the same by reading more. What waits to be sorted into an index is read by every
-- search, so that it is kept short.
CREATE INDEX dialing_route_route ON dialing_route (route_id, account_id);
CREATE INDEX account_resellers ON account (parent_id) WHERE kind = 'reseller';
CREATE INDEX account_by_name ON account (lower(name), id);
CREATE INDEX account_by_company ON account (lower(company), id);
CREATE INDEX account_by_time ON account (created_at, id);
CREATE INDEX ip_device_network ON ip_device USING gist (address inet_ops);
DO $make$
BEGIN
    BEGIN
        -- Not in public, whose place another schema takes when a backup is restored.
        CREATE SCHEMA IF NOT EXISTS extensions;
        CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA extensions;
        CREATE EXTENSION IF NOT EXISTS btree_gin SCHEMA extensions;
        PERFORM set_config('search_path', current_setting('search_path') || ', extensions', true);
    EXCEPTION WHEN undefined_file OR insufficient_privilege OR feature_not_supported THEN
        RAISE NOTICE 'no extensions pg_trgm and btree_gin: searches will be slower';
        RETURN;
    END;
    CREATE INDEX account_words ON account USING gin (code gin_trgm_ops, name gin_trgm_ops, company gin_trgm_ops);
    CREATE INDEX panel_user_words ON panel_user USING gin (login gin_trgm_ops);
    CREATE INDEX sip_user_words ON sip_user USING gin (username gin_trgm_ops);
    CREATE INDEX ip_device_words ON ip_device USING gin (text(address) gin_trgm_ops);
    CREATE INDEX cdr_words ON cdr USING gin (
        source_received gin_trgm_ops, destination_received gin_trgm_ops, destination_used gin_trgm_ops,
        source_sent gin_trgm_ops, destination_sent gin_trgm_ops, a_address gin_trgm_ops, b_address gin_trgm_ops
    ) WITH (gin_pending_list_limit = 512);
    CREATE INDEX cdr_values ON cdr USING gin (
        code, sip_code, q850_cause, device, carrier_id, gateway_id, kind, ended_by, account_chain
    ) WITH (gin_pending_list_limit = 512);
END $make$;
