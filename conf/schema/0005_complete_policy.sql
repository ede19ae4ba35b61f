-- Everything that the decision on a call asks for: number rules, codec lists, the loss guard, routes with windows and modes,
-- permitted routes of resellers, DIDs and their destinations, emergency numbers; and what records say about it.

ALTER TABLE account
    ADD COLUMN codec_check  boolean NOT NULL DEFAULT false,  -- calls must offer a codec of the list, others are removed
    ADD COLUMN codecs       text[] NOT NULL DEFAULT '{}' CHECK (cardinality(codecs) <= 32),  -- in the order of preference
    ADD COLUMN with_media   boolean NOT NULL DEFAULT false,  -- audio crosses our machine
    ADD COLUMN loss_guard   boolean NOT NULL DEFAULT false;  -- no carrier that costs more than the account pays

-- A parent is a reseller, and stays one; nobody is above itself.
CREATE FUNCTION account_chain_is_sound() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind <> 'reseller' AND EXISTS (SELECT FROM account WHERE parent_id = NEW.id) THEN
        RAISE EXCEPTION 'account % has accounts below it: it must stay a reseller', NEW.code USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.parent_id IS NOT NULL THEN
        -- Two changes at a time could close a circle that neither sees.
        PERFORM pg_advisory_xact_lock(hashtext('account parents'));
        IF (SELECT kind FROM account WHERE id = NEW.parent_id) <> 'reseller' THEN
            RAISE EXCEPTION 'the account above % must be a reseller', NEW.code USING ERRCODE = 'check_violation';
        END IF;
        IF EXISTS (
            WITH RECURSIVE above AS (
                SELECT id, parent_id FROM account WHERE id = NEW.parent_id
                UNION
                SELECT account.id, account.parent_id FROM account JOIN above ON account.id = above.parent_id
            )
            SELECT FROM above WHERE id = NEW.id
        ) THEN
            RAISE EXCEPTION 'account % would be above itself', NEW.code USING ERRCODE = 'check_violation';
        END IF;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER chain_is_sound AFTER INSERT OR UPDATE OF parent_id, kind ON account
    FOR EACH ROW EXECUTE FUNCTION account_chain_is_sound();

ALTER TABLE ip_device
    ADD COLUMN port        integer NOT NULL DEFAULT 5060 CHECK (port BETWEEN 1 AND 65535),     -- calls to it are sent there
    ADD COLUMN transport   text NOT NULL DEFAULT 'udp' CHECK (transport IN ('udp', 'tcp')),
    ADD COLUMN is_trusted  boolean NOT NULL DEFAULT false;                                     -- its P-Asserted-Identity counts
UPDATE sip_user SET extension = '' WHERE EXISTS (
    SELECT FROM sip_user AS older
    WHERE older.account_id = sip_user.account_id AND older.extension = sip_user.extension AND older.id < sip_user.id
);
CREATE UNIQUE INDEX sip_user_extension ON sip_user (account_id, extension) WHERE extension <> '';

-- Rules that translate and bar numbers (docs/behaviour.md §3). For carriers `source` and `destination` are outgoing, the
-- `did_` ones are for calls that come from them.
CREATE TABLE number_rule (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id  bigint REFERENCES account ON DELETE CASCADE,
    carrier_id  bigint REFERENCES carrier ON DELETE CASCADE,
    kind        text NOT NULL CHECK (kind IN ('source', 'destination', 'did_source', 'did_destination', 'cli')),
    rule        text NOT NULL,
    CHECK ((account_id IS NULL) <> (carrier_id IS NULL)),
    CHECK (carrier_id IS NULL OR kind <> 'cli'),
    -- LEFT: literals, | after what is stripped, {N} for the exact length, % for the rest; RIGHT: %, X%, X or nothing.
    CHECK (rule ~ '^\+?[0-9*#]*(\{[0-9]{1,3}\})?(\|[0-9*#]*)?(\{[0-9]{1,3}\})?%?(=>\+?[0-9*#]*%?)?$'),
    CHECK (rule !~ '\{.*\{'),
    CHECK (kind <> 'cli' OR (rule LIKE '%=>%' AND rule NOT LIKE '%|%'))
);
CREATE UNIQUE INDEX number_rule_of_account ON number_rule (account_id, kind, rule) WHERE account_id IS NOT NULL;
CREATE UNIQUE INDEX number_rule_of_carrier ON number_rule (carrier_id, kind, rule) WHERE carrier_id IS NOT NULL;

-- Whoever is new may call every number and show every one.
CREATE FUNCTION gets_number_rules() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format(
        'INSERT INTO number_rule (%I, kind, rule) SELECT rows.id, kinds.kind, ''%%=>%%'' FROM new_rows AS rows,'
        ' unnest($1) AS kinds (kind)', TG_ARGV[0])
        USING ARRAY['source', 'destination', 'did_source', 'did_destination'];
    RETURN NULL;
END $$;
CREATE TRIGGER gets_number_rules AFTER INSERT ON account REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gets_number_rules('account_id');
CREATE TRIGGER gets_number_rules AFTER INSERT ON carrier REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION gets_number_rules('carrier_id');
INSERT INTO number_rule (account_id, kind, rule)
    SELECT account.id, kinds.kind, '%=>%'
    FROM account, unnest(ARRAY['source', 'destination', 'did_source', 'did_destination']) AS kinds (kind);
INSERT INTO number_rule (carrier_id, kind, rule)
    SELECT carrier.id, kinds.kind, '%=>%'
    FROM carrier, unnest(ARRAY['source', 'destination', 'did_source', 'did_destination']) AS kinds (kind);

-- Patterns are matched without a plus sign; what has one elsewhere never matched a number.
DELETE FROM dialing_route WHERE pattern ~ '.\+' OR pattern IN ('', '+');
DELETE FROM dialing_route AS with_plus USING dialing_route AS without
    WHERE with_plus.account_id = without.account_id AND with_plus.pattern = '+' || without.pattern;
UPDATE dialing_route SET pattern = ltrim(pattern, '+') WHERE pattern LIKE '+%';
ALTER TABLE dialing_route DROP CONSTRAINT dialing_route_pattern_check,
    ADD CONSTRAINT dialing_route_pattern_check CHECK (
        pattern ~ '^[0-9*#]*(\{[0-9]{1,3}\})?(\|[0-9*#]*)?(\{[0-9]{1,3}\})?%?$' AND pattern !~ '\{.*\{' AND pattern <> ''
    );

-- Routes that a reseller may use; calls of accounts below it take no others.
CREATE TABLE reseller_route (
    account_id  bigint NOT NULL REFERENCES account ON DELETE CASCADE,
    route_id    bigint NOT NULL REFERENCES route ON DELETE CASCADE,
    PRIMARY KEY (account_id, route_id)
);
INSERT INTO reseller_route (account_id, route_id)
    SELECT account.id, route.id FROM account, route WHERE account.kind = 'reseller';

ALTER TABLE route
    ADD COLUMN mode            text NOT NULL DEFAULT 'least_cost' CHECK (mode IN ('least_cost', 'load_share')),
    ADD COLUMN zone            text NOT NULL DEFAULT 'UTC'           -- of the hours of its entries
        CHECK (zone ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]+)+)$' AND timezone(zone, timestamp '2000-01-01') IS NOT NULL),
    ADD COLUMN failover_codes  smallint[],                           -- empty: the system's
    ADD COLUMN ring_failover   boolean NOT NULL DEFAULT false;       -- a gateway that rings too long is followed by the next

-- The windows of entries are those of ratecards in a tariff: see 0002.
ALTER TABLE route_entry
    ADD COLUMN days         smallint NOT NULL DEFAULT 127 CHECK (days BETWEEN 1 AND 127),  -- bit 0: Sunday, … bit 6: Saturday
    ADD COLUMN hours_from   time NOT NULL DEFAULT '00:00' CHECK (hours_from < '24:00'),
    ADD COLUMN hours_until  time NOT NULL DEFAULT '00:00' CHECK (hours_until < '24:00'),
    DROP CONSTRAINT route_entry_route_id_prefix_carrier_id_key,
    ADD UNIQUE (route_id, prefix, carrier_id, days, hours_from, hours_until);

ALTER TABLE carrier
    ADD COLUMN codecs  text[] NOT NULL DEFAULT '{}' CHECK (cardinality(codecs) <= 32);  -- empty: whatever is offered

ALTER TABLE gateway
    ADD COLUMN is_trusted      boolean NOT NULL DEFAULT false,                                 -- its P-Asserted-Identity counts
    ADD COLUMN probe_interval  integer NOT NULL DEFAULT 0 CHECK (probe_interval >= 0);         -- seconds between OPTIONS; 0: none

-- Numbers that calls from carriers come for.
CREATE TABLE did (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number      text NOT NULL UNIQUE CHECK (number ~ '^[0-9]{3,20}$'),  -- E.164, without +
    carrier_id  bigint REFERENCES carrier,                              -- empty: whichever carrier brings the call
    account_id  bigint REFERENCES account,                              -- empty: nobody's yet
    channels    integer CHECK (channels >= 0),                          -- calls at a time; empty: no limit
    status      text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX did_account ON did (account_id);
CREATE INDEX did_carrier ON did (carrier_id);

-- Where calls to a DID go: priority 1 first, 2 when that fails.
CREATE TABLE did_destination (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    did_id        bigint NOT NULL REFERENCES did ON DELETE CASCADE,
    priority      smallint NOT NULL DEFAULT 1 CHECK (priority BETWEEN 1 AND 2),
    kind          text NOT NULL CHECK (kind IN ('sip_user', 'ip_device', 'extension', 'number', 'voice_mail')),
    sip_user_id   bigint REFERENCES sip_user ON DELETE CASCADE,
    ip_device_id  bigint REFERENCES ip_device ON DELETE CASCADE,
    number        text CHECK (number ~ '^\+?[0-9*#]{1,32}$'),           -- an extension, or an outside number
    UNIQUE (did_id, priority),
    CHECK ((kind IN ('sip_user', 'voice_mail')) = (sip_user_id IS NOT NULL)),
    CHECK ((kind = 'ip_device') = (ip_device_id IS NOT NULL)),
    CHECK ((kind IN ('extension', 'number')) = (number IS NOT NULL))
);

-- A DID leads to its own account's devices only, and a call can be sent to one address, not to a network.
CREATE FUNCTION did_destination_is_own() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner bigint := (SELECT account_id FROM did WHERE id = NEW.did_id);
BEGIN
    IF owner IS NULL THEN
        RAISE EXCEPTION 'a DID must belong to an account before calls to it go anywhere' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.sip_user_id IS NOT NULL AND owner <> (SELECT account_id FROM sip_user WHERE id = NEW.sip_user_id)
        OR NEW.ip_device_id IS NOT NULL AND owner <> (SELECT account_id FROM ip_device WHERE id = NEW.ip_device_id) THEN
        RAISE EXCEPTION 'the destination of a DID must be of the same account' USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.ip_device_id IS NOT NULL
        AND (SELECT masklen(address) <> CASE family(address) WHEN 4 THEN 32 ELSE 128 END FROM ip_device WHERE id = NEW.ip_device_id) THEN
        RAISE EXCEPTION 'calls cannot be sent to a network: the IP device must have one address' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER is_own AFTER INSERT OR UPDATE ON did_destination FOR EACH ROW EXECUTE FUNCTION did_destination_is_own();

-- Nor may a device that a DID leads to become a network or somebody else's.
CREATE FUNCTION device_is_still_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE did_destination SET kind = kind
        WHERE TG_TABLE_NAME = 'ip_device' AND ip_device_id = NEW.id OR TG_TABLE_NAME = 'sip_user' AND sip_user_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER is_still_own AFTER UPDATE OF account_id, address ON ip_device
    FOR EACH ROW EXECUTE FUNCTION device_is_still_own();
CREATE TRIGGER is_still_own AFTER UPDATE OF account_id ON sip_user
    FOR EACH ROW EXECUTE FUNCTION device_is_still_own();

-- A DID that changes hands forgets where its calls went.
CREATE FUNCTION did_changes_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM did_destination WHERE did_id = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER changes_hands AFTER UPDATE OF account_id ON did
    FOR EACH ROW WHEN (NEW.account_id IS DISTINCT FROM OLD.account_id) EXECUTE FUNCTION did_changes_hands();

-- Numbers that anybody active may always call.
CREATE TABLE emergency_number (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    pattern   text NOT NULL UNIQUE CHECK (pattern ~ '^[0-9*#]+(\{[0-9]{1,3}\})?%?$'),
    route_id  bigint NOT NULL REFERENCES route
);

ALTER TABLE cdr
    ADD COLUMN kind              text NOT NULL DEFAULT 'outgoing' CHECK (kind IN ('outgoing', 'on_net', 'incoming', 'emergency')),
    ADD COLUMN did_id            bigint,
    ADD COLUMN source_used       text NOT NULL DEFAULT '',            -- after the account's rules: what was rated and routed
    ADD COLUMN destination_used  text NOT NULL DEFAULT '',
    ADD COLUMN calls             integer NOT NULL DEFAULT 1 CHECK (calls >= 1);  -- refusals alike within a second share a row

DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[
        ['number_rule', 'id'], ['reseller_route', 'account_id'], ['did', 'id'], ['did_destination', 'did_id'],
        ['emergency_number', 'id']
    ] LOOP
        EXECUTE format('CREATE TRIGGER config_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
        EXECUTE format('CREATE TRIGGER config_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
        EXECUTE format('CREATE TRIGGER config_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION config_changed(%L)', pair[1], pair[2]);
    END LOOP;
END $$;
