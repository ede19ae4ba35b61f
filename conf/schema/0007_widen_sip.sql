-- What carriers and telephones ask of SIP: transports, reliable ringing, session timers, identity, digest and registration at
-- carriers; call forwarding of SIP users; the messages of calls.

ALTER TABLE gateway
    ALTER COLUMN port DROP NOT NULL,          -- empty: found by DNS (RFC 3263), 5060 or 5061 for addresses
    ALTER COLUMN port DROP DEFAULT,
    DROP CONSTRAINT gateway_transport_check,
    ADD CONSTRAINT gateway_transport_check CHECK (transport IN ('udp', 'tcp', 'tls', 'ws', 'wss')),
    ADD COLUMN tls_verify        text NOT NULL DEFAULT 'name' CHECK (tls_verify IN ('name', 'chain', 'none')),
    ADD COLUMN prefers_tcp       boolean NOT NULL DEFAULT false,  -- above 1,300 bytes (RFC 3261 §18.1.1)
    ADD COLUMN reliable_ringing  text NOT NULL DEFAULT 'off' CHECK (reliable_ringing IN ('off', 'supported', 'required')),
    ADD COLUMN session_timer     integer CHECK (session_timer >= 90),     -- seconds; empty: none is asked for (RFC 4028)
    ADD COLUMN follows_redirects boolean NOT NULL DEFAULT false,          -- 3xx are followed, at most 5
    ADD COLUMN identity          text NOT NULL DEFAULT 'none' CHECK (identity IN ('none', 'pai', 'rpid')),
    ADD COLUMN diversion         text NOT NULL DEFAULT 'drop' CHECK (diversion IN ('pass', 'drop')),
    ADD COLUMN from_user         text NOT NULL DEFAULT '',                -- empty: the caller's number
    ADD COLUMN from_domain       text NOT NULL DEFAULT '',                -- empty: our address
    ADD COLUMN passed_headers    text[] NOT NULL DEFAULT '{}',            -- names of headers that are carried on
    ADD COLUMN added_headers     text[] NOT NULL DEFAULT '{}',            -- whole lines, `X-Trunk: 7`
    ADD COLUMN auth_user         text NOT NULL DEFAULT '',                -- for digest; empty: we prove nothing
    ADD COLUMN auth_secret       text NOT NULL DEFAULT '',                -- encrypted with the key file
    ADD COLUMN registers         boolean NOT NULL DEFAULT false,          -- we register there
    ADD COLUMN register_expires  integer NOT NULL DEFAULT 600 CHECK (register_expires >= 60);

ALTER TABLE sip_user
    ADD COLUMN forward_all             text NOT NULL DEFAULT '' CHECK (forward_all ~ '^\+?[0-9*#]{0,32}$'),
    ADD COLUMN forward_busy            text NOT NULL DEFAULT '' CHECK (forward_busy ~ '^\+?[0-9*#]{0,32}$'),
    ADD COLUMN forward_no_answer       text NOT NULL DEFAULT '' CHECK (forward_no_answer ~ '^\+?[0-9*#]{0,32}$'),
    ADD COLUMN forward_not_registered  text NOT NULL DEFAULT '' CHECK (forward_not_registered ~ '^\+?[0-9*#]{0,32}$'),
    ADD COLUMN ring_time               integer NOT NULL DEFAULT 30 CHECK (ring_time BETWEEN 5 AND 180),  -- seconds, then no answer
    ADD COLUMN do_not_disturb          boolean NOT NULL DEFAULT false;

-- The SIP messages of an attempt's call, for failed calls and a share of the others; dropped with the records' months.
CREATE TABLE call_trace (
    call_id      uuid NOT NULL,
    received_at  timestamptz NOT NULL,
    messages     jsonb NOT NULL,      -- [[seconds after received_at, "a" or "b", is_sent, peer, text], …]
    PRIMARY KEY (call_id, received_at)
) PARTITION BY RANGE (received_at);

CREATE OR REPLACE FUNCTION cdr_ensure_partition(at timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    month_start  date := date_trunc('month', at AT TIME ZONE 'UTC');
    month_end    date := month_start + interval '1 month';
    suffix       text := to_char(month_start, 'YYYY_MM');
    parent       text;
BEGIN
    FOREACH parent IN ARRAY ARRAY['cdr', 'cdr_charge', 'call_trace'] LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || '_' || suffix, parent,
            month_start::text || ' 00:00:00+00', month_end::text || ' 00:00:00+00');
    END LOOP;
END $$;
