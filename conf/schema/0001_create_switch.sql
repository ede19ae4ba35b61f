-- Accounts, devices, carriers, rates, routes, records, ledger, panel users and configuration revisions.
-- Money is numeric, time is timestamptz, a state is text with a check, identity is bigint.

CREATE TABLE tariff (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    kind        text NOT NULL CHECK (kind IN ('customer', 'carrier')),
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE ratecard (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    direction   text NOT NULL DEFAULT 'outgoing' CHECK (direction IN ('outgoing', 'incoming')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE tariff_ratecard (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tariff_id    bigint NOT NULL REFERENCES tariff ON DELETE CASCADE,
    ratecard_id  bigint NOT NULL REFERENCES ratecard ON DELETE CASCADE,
    priority     integer NOT NULL DEFAULT 1 CHECK (priority >= 0),  -- lower is asked first
    UNIQUE (tariff_id, ratecard_id)
);

CREATE TABLE rate (
    id                 bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ratecard_id        bigint NOT NULL REFERENCES ratecard ON DELETE CASCADE,
    prefix             text NOT NULL CHECK (prefix ~ '^[0-9*#]*$'),
    destination        text NOT NULL DEFAULT '',
    rate_per_minute    numeric(20, 10) NOT NULL CHECK (rate_per_minute >= 0),
    connection_charge  numeric(20, 10) NOT NULL DEFAULT 0 CHECK (connection_charge >= 0),
    minimum            integer NOT NULL DEFAULT 1 CHECK (minimum >= 0),      -- seconds
    resolution         integer NOT NULL DEFAULT 1 CHECK (resolution >= 1),   -- seconds
    blocks_mode        text NOT NULL DEFAULT 'from_zero' CHECK (blocks_mode IN ('from_zero', 'after_minimum')),
    grace              integer NOT NULL DEFAULT 0 CHECK (grace >= 0),        -- seconds
    multiplier         numeric(20, 10) NOT NULL DEFAULT 1 CHECK (multiplier >= 0),
    addition           numeric(20, 10) NOT NULL DEFAULT 0 CHECK (addition >= 0),
    status             text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'blocked')),
    valid_from         timestamptz NOT NULL DEFAULT '-infinity',
    valid_until        timestamptz NOT NULL DEFAULT 'infinity',
    CHECK (valid_from < valid_until),
    UNIQUE (ratecard_id, prefix, valid_from)
);

CREATE TABLE account (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code           text NOT NULL UNIQUE CHECK (code ~ '^[A-Z]{4}[0-9]{4,}$'),
    parent_id      bigint REFERENCES account,
    kind           text NOT NULL CHECK (kind IN ('customer', 'reseller')),
    name           text NOT NULL CHECK (name <> ''),
    company        text NOT NULL DEFAULT '',
    status         text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'suspended', 'closed')),
    currency       text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    tariff_id      bigint REFERENCES tariff,
    billing_type   text NOT NULL DEFAULT 'prepaid' CHECK (billing_type IN ('prepaid', 'postpaid')),
    decimals       smallint NOT NULL DEFAULT 4 CHECK (decimals BETWEEN 0 AND 10),
    rounding       text NOT NULL DEFAULT 'ROUND' CHECK (rounding IN ('ROUND', 'CEIL')),
    tax_flag       text NOT NULL DEFAULT 'NONE' CHECK (tax_flag IN ('NONE', 'TAX', 'VAT')),
    tax_inclusive  boolean NOT NULL DEFAULT false,
    tax_percents   numeric(7, 4)[] NOT NULL DEFAULT '{}' CHECK (cardinality(tax_percents) <= 3),
    max_sessions   integer CHECK (max_sessions >= 0),   -- empty: no limit; 0: none allowed
    cps            integer CHECK (cps >= 0),            -- calls per second; empty: no limit
    max_duration   integer CHECK (max_duration > 0),    -- seconds; empty: the system's
    created_at     timestamptz NOT NULL DEFAULT now(),
    CHECK (parent_id <> id)
);
CREATE INDEX account_parent ON account (parent_id);

CREATE SEQUENCE account_code;

CREATE TABLE ip_device (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES account,
    address       cidr NOT NULL,
    dial_prefix   text NOT NULL DEFAULT '' CHECK (dial_prefix ~ '^[0-9*#+]*%?$'),
    description   text NOT NULL DEFAULT '',
    max_sessions  integer CHECK (max_sessions >= 0),
    cps           integer CHECK (cps >= 0),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at    timestamptz NOT NULL DEFAULT now(),
    UNIQUE (address, dial_prefix)
);
CREATE INDEX ip_device_account ON ip_device (account_id);

CREATE TABLE sip_user (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id    bigint NOT NULL REFERENCES account,
    username      text NOT NULL UNIQUE CHECK (username ~ '^[A-Za-z0-9._-]{1,64}$'),
    ha1_md5       text NOT NULL CHECK (ha1_md5 ~ '^[0-9a-f]{32}$'),  -- RFC 7616 H(A1), never the secret
    extension     text NOT NULL DEFAULT '',
    address       cidr,                                              -- set: accepted only from there
    max_sessions  integer CHECK (max_sessions >= 0),
    cps           integer CHECK (cps >= 0),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sip_user_account ON sip_user (account_id);

CREATE TABLE carrier (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    code          text NOT NULL UNIQUE CHECK (code ~ '^[A-Z]{4}[0-9]{4,}$'),
    name          text NOT NULL CHECK (name <> ''),
    tariff_id     bigint REFERENCES tariff,
    currency      text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    max_sessions  integer CHECK (max_sessions >= 0),
    cps           integer CHECK (cps >= 0),
    status        text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at    timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE gateway (
    id                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    carrier_id        bigint NOT NULL REFERENCES carrier,
    name              text NOT NULL UNIQUE CHECK (name <> ''),
    host              text NOT NULL CHECK (host <> ''),
    port              integer NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),
    transport         text NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp')),
    priority          integer NOT NULL DEFAULT 1 CHECK (priority >= 0),
    weight            integer NOT NULL DEFAULT 100 CHECK (weight >= 0),
    max_sessions      integer CHECK (max_sessions >= 0),
    cps               integer CHECK (cps >= 0),
    invite_timeout    integer NOT NULL DEFAULT 5 CHECK (invite_timeout > 0),     -- seconds of silence
    progress_timeout  integer NOT NULL DEFAULT 10 CHECK (progress_timeout > 0),  -- seconds without 18x
    ring_timeout      integer NOT NULL DEFAULT 60 CHECK (ring_timeout > 0),      -- seconds after 18x
    max_duration      integer CHECK (max_duration > 0),                          -- seconds
    status            text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at        timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX gateway_carrier ON gateway (carrier_id);

CREATE TABLE route (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL UNIQUE CHECK (name <> ''),
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE route_entry (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    route_id    bigint NOT NULL REFERENCES route ON DELETE CASCADE,
    prefix      text NOT NULL DEFAULT '' CHECK (prefix ~ '^[0-9*#]*$'),
    carrier_id  bigint NOT NULL REFERENCES carrier,
    priority    integer NOT NULL DEFAULT 1 CHECK (priority >= 0),
    weight      integer NOT NULL DEFAULT 100 CHECK (weight >= 0),
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    UNIQUE (route_id, prefix, carrier_id)
);

CREATE TABLE dialing_route (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL REFERENCES account,
    pattern     text NOT NULL DEFAULT '%' CHECK (pattern ~ '^[0-9*#+]*%?$'),
    route_id    bigint NOT NULL REFERENCES route,
    UNIQUE (account_id, pattern)
);

-- Money. An account's balance is the sum of its ledger entries; both change in one transaction.

CREATE TABLE account_balance (
    account_id  bigint PRIMARY KEY REFERENCES account,
    balance     numeric(30, 10) NOT NULL DEFAULT 0
);

CREATE TABLE ledger_entry (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint NOT NULL REFERENCES account,
    kind        text NOT NULL CHECK (kind IN ('payment', 'refund', 'credit', 'usage', 'charge', 'correction')),
    amount      numeric(30, 10) NOT NULL,          -- positive: in the account's favour
    currency    text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    calls       integer NOT NULL DEFAULT 0,        -- usage: how many call charges this entry adds up
    reference   text,                              -- of the payer; the same reference is booked once
    note        text NOT NULL DEFAULT '',
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ledger_entry_account ON ledger_entry (account_id, id);
CREATE UNIQUE INDEX ledger_entry_reference ON ledger_entry (account_id, kind, reference) WHERE reference IS NOT NULL;

CREATE FUNCTION ledger_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'ledger entries are never changed: write a correction';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_is_append_only();

CREATE FUNCTION account_gets_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO account_balance (account_id) VALUES (NEW.id);
    RETURN NULL;
END $$;
CREATE TRIGGER gets_balance AFTER INSERT ON account FOR EACH ROW EXECUTE FUNCTION account_gets_balance();

-- Call detail records: one row per attempt, partitioned by month of arrival.

CREATE TABLE cdr (
    call_id               uuid NOT NULL,
    attempt               smallint NOT NULL,               -- 0: refused before any attempt
    is_last               boolean NOT NULL,
    received_at           timestamptz NOT NULL,
    ringing_at            timestamptz,
    answered_at           timestamptz,
    ended_at              timestamptz NOT NULL,
    post_dial_delay       numeric(10, 3),                  -- seconds
    duration              numeric(12, 3) NOT NULL,         -- seconds from answer to end; 0 when never answered
    account_id            bigint,
    account_chain         bigint[] NOT NULL DEFAULT '{}',  -- the account and every reseller above it
    device                text NOT NULL DEFAULT '',        -- 'ip:7', 'user:9'
    carrier_id            bigint,
    gateway_id            bigint,
    route_id              bigint,
    worker                text NOT NULL,
    a_call_id             text NOT NULL,
    b_call_id             text NOT NULL DEFAULT '',
    source_received       text NOT NULL DEFAULT '',
    source_sent           text NOT NULL DEFAULT '',
    destination_received  text NOT NULL DEFAULT '',
    destination_sent      text NOT NULL DEFAULT '',
    a_address             text NOT NULL,
    a_transport           text NOT NULL,
    a_user_agent          text NOT NULL DEFAULT '',
    b_address             text NOT NULL DEFAULT '',
    b_transport           text NOT NULL DEFAULT '',
    b_user_agent          text NOT NULL DEFAULT '',
    sip_code              smallint NOT NULL,
    q850_cause            smallint,
    code                  text NOT NULL,                   -- ANSWERED, or why not
    object                text NOT NULL DEFAULT '',        -- what refused: 'account CUST0007'
    ended_by              text NOT NULL CHECK (ended_by IN ('caller', 'callee', 'system')),
    reason                text NOT NULL DEFAULT '',        -- why the system ended it
    codecs_offered        text[] NOT NULL DEFAULT '{}',
    codec_used            text NOT NULL DEFAULT '',
    media_mode            text NOT NULL DEFAULT '' CHECK (media_mode IN ('', 'bypass', 'anchored')),
    gross                 numeric(30, 10),                 -- what the account pays
    currency              text,
    PRIMARY KEY (call_id, attempt, received_at)
) PARTITION BY RANGE (received_at);
CREATE INDEX cdr_by_time ON cdr (received_at DESC, call_id, attempt);
CREATE INDEX cdr_by_account ON cdr (account_id, received_at DESC);

-- What each level pays for an answered attempt, and what the carrier costs.
CREATE TABLE cdr_charge (
    call_id         uuid NOT NULL,
    attempt         smallint NOT NULL,
    received_at     timestamptz NOT NULL,
    level           smallint NOT NULL,       -- 0: the account, 1: its reseller, ...; -1: the carrier
    account_id      bigint,
    carrier_id      bigint,
    tariff_id       bigint NOT NULL,
    rate_id         bigint NOT NULL,
    billed_seconds  integer NOT NULL,
    net             numeric(30, 10) NOT NULL,
    tax             numeric(30, 10) NOT NULL,
    gross           numeric(30, 10) NOT NULL,
    currency        text NOT NULL,
    PRIMARY KEY (call_id, attempt, level, received_at),
    CHECK ((account_id IS NULL) <> (carrier_id IS NULL))
) PARTITION BY RANGE (received_at);

CREATE FUNCTION cdr_ensure_partition(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month_start  date := date_trunc('month', at AT TIME ZONE 'UTC');
    month_end    date := month_start + interval '1 month';
    suffix       text := to_char(month_start, 'YYYY_MM');
    parent       text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['cdr', 'cdr_charge'] LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || '_' || suffix, parent,
            month_start::text || ' 00:00:00+00', month_end::text || ' 00:00:00+00');
    END LOOP;
END $$;

-- How far each worker's journal has been committed, and the life signs of the process that does it.
CREATE TABLE journal_position (
    worker   text PRIMARY KEY,
    segment  bigint NOT NULL,
    "offset" bigint NOT NULL
);

CREATE TABLE cdr_writer (
    name           text PRIMARY KEY,
    beat_at        timestamptz NOT NULL,
    backlog_bytes  bigint NOT NULL
);

-- People who sign in to the panel.

CREATE TABLE panel_user (
    id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    login                 text NOT NULL UNIQUE CHECK (login ~ '^[A-Za-z0-9]{1,30}$'),
    password_hash         text NOT NULL,
    role                  text NOT NULL CHECK (role IN ('administrator', 'support', 'accounts', 'reseller', 'customer')),
    account_id            bigint REFERENCES account,
    status                text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    must_change_password  boolean NOT NULL DEFAULT false,
    failures              integer NOT NULL DEFAULT 0,
    locked_until          timestamptz,
    created_at            timestamptz NOT NULL DEFAULT now(),
    CHECK ((role IN ('reseller', 'customer')) = (account_id IS NOT NULL))
);

CREATE TABLE panel_session (
    token_hash  bytea PRIMARY KEY,                 -- SHA-256 of the cookie's token
    user_id     bigint REFERENCES panel_user ON DELETE CASCADE,
    data        jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    seen_at     timestamptz NOT NULL DEFAULT now()
);

-- Values fixed when the system is installed (realm, epoch).
CREATE TABLE system_value (
    name   text PRIMARY KEY,
    value  text NOT NULL
);

-- Configuration revisions. The one row of config_revision is updated by every transaction that changes configuration,
-- so its lock puts them in order: revisions commit in sequence and without gaps.

CREATE TABLE config_revision (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    revision     bigint NOT NULL,
    transaction  xid8
);
INSERT INTO config_revision (revision) VALUES (1);

CREATE TABLE config_change (
    revision    bigint NOT NULL,
    table_name  text NOT NULL,
    key         bigint NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX config_change_revision ON config_change (revision);

CREATE FUNCTION next_config_revision() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    current bigint;
BEGIN
    UPDATE config_revision SET revision = revision + 1, transaction = pg_current_xact_id()
        WHERE transaction IS DISTINCT FROM pg_current_xact_id();
    SELECT revision INTO current FROM config_revision;
    PERFORM pg_notify('config', current::text);
    RETURN current;
END $$;

-- Called with the name of the column whose values are the keys (rates report their ratecard, not a million rows). A row
-- that moves from one key to another changes both.
CREATE FUNCTION config_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    keys text := CASE TG_OP
        WHEN 'DELETE' THEN 'SELECT %1$I AS k FROM old_rows'
        WHEN 'INSERT' THEN 'SELECT %1$I AS k FROM new_rows'
        ELSE 'SELECT %1$I AS k FROM new_rows UNION ALL SELECT %1$I AS k FROM old_rows'
    END;
BEGIN
    EXECUTE format(
        'INSERT INTO config_change (revision, table_name, key) SELECT DISTINCT $1, $2, k FROM (' || keys || ') AS rows',
        TG_ARGV[0])
        USING next_config_revision(), TG_TABLE_NAME;
    RETURN NULL;
END $$;

DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ['tariff', 'id'], ['ratecard', 'id'], ['tariff_ratecard', 'tariff_id'], ['rate', 'ratecard_id'],
        ['account', 'id'], ['ip_device', 'id'], ['sip_user', 'id'], ['carrier', 'id'], ['gateway', 'id'],
        ['route', 'id'], ['route_entry', 'route_id'], ['dialing_route', 'account_id']
    ] LOOP
        EXECUTE format('CREATE TRIGGER config_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
        EXECUTE format('CREATE TRIGGER config_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
        EXECUTE format('CREATE TRIGGER config_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
    END LOOP;
END $$;
