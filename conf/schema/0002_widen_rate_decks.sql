-- Rates of DIDs, time windows of ratecards in a tariff, exchange rates, and imports of rates that can be undone.

ALTER TABLE rate
    ADD COLUMN setup     numeric(20, 10) NOT NULL DEFAULT 0 CHECK (setup >= 0),     -- once
    ADD COLUMN rental    numeric(20, 10) NOT NULL DEFAULT 0 CHECK (rental >= 0),    -- per billing period
    ADD COLUMN channels  integer CHECK (channels >= 0);                             -- included in the rental; empty: no limit

-- When a ratecard counts in a tariff. The window of a day begins at hours_from and ends at the next hours_until, which is
-- on the day after where it is not later than hours_from; equal hours are 24 hours.
ALTER TABLE tariff_ratecard
    ADD COLUMN days         smallint NOT NULL DEFAULT 127 CHECK (days BETWEEN 1 AND 127),  -- bit 0: Sunday, … bit 6: Saturday
    ADD COLUMN hours_from   time NOT NULL DEFAULT '00:00' CHECK (hours_from < '24:00'),
    ADD COLUMN hours_until  time NOT NULL DEFAULT '00:00' CHECK (hours_until < '24:00'),
    -- A name that the switch's own list of zones has too: no abbreviations, no rules.
    ADD COLUMN zone         text NOT NULL DEFAULT 'UTC'
        CHECK (zone ~ '^(UTC|[A-Z][A-Za-z_]+(/[A-Z][A-Za-z0-9_+-]+)+)$' AND timezone(zone, timestamp '2000-01-01') IS NOT NULL);

-- One unit of from_currency is `rate` units of to_currency, from valid_from until the next one of the pair.
CREATE TABLE currency_rate (
    id             bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_currency  text NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
    to_currency    text NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
    rate           numeric(30, 15) NOT NULL CHECK (rate > 0 AND rate < 'infinity'),
    valid_from     timestamptz NOT NULL DEFAULT now(),
    CHECK (from_currency <> to_currency),
    UNIQUE (from_currency, to_currency, valid_from)
);

CREATE TRIGGER config_inserted AFTER INSERT ON currency_rate REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION config_changed('id');
CREATE TRIGGER config_updated AFTER UPDATE ON currency_rate REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION config_changed('id');
CREATE TRIGGER config_deleted AFTER DELETE ON currency_rate REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION config_changed('id');

CREATE TABLE rate_import (
    id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ratecard_id   bigint NOT NULL REFERENCES ratecard ON DELETE CASCADE,
    file_name     text NOT NULL,
    by_whom       text NOT NULL,
    effective_at  timestamptz,                     -- empty: the rates were changed in place
    revision      bigint NOT NULL,                 -- of the configuration that it made
    rows_new      integer NOT NULL,
    rows_changed  integer NOT NULL,
    rows_removed  integer NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    undone_at     timestamptz
);
CREATE INDEX rate_import_ratecard ON rate_import (ratecard_id, id);

-- What undoing takes, for the last import of each ratecard only: a rate that it made has only its id, one that it changed
-- or removed is kept as it was.
CREATE TABLE rate_import_row (
    import_id          bigint NOT NULL REFERENCES rate_import ON DELETE CASCADE,
    rate_id            bigint NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('new', 'changed', 'removed')),
    prefix             text,
    destination        text,
    rate_per_minute    numeric(20, 10),
    connection_charge  numeric(20, 10),
    minimum            integer,
    resolution         integer,
    blocks_mode        text,
    grace              integer,
    multiplier         numeric(20, 10),
    addition           numeric(20, 10),
    setup              numeric(20, 10),
    rental             numeric(20, 10),
    channels           integer,
    status             text,
    valid_from         timestamptz,
    valid_until        timestamptz,
    PRIMARY KEY (import_id, rate_id),
    CHECK (kind = 'new' OR (prefix IS NOT NULL AND valid_from IS NOT NULL))
);
