-- Whose tariffs and ratecards are; what a customer's login may see of its rates; long jobs of the panel.

-- Empty: the operator's, for any account. Else of a reseller, for the accounts directly below it.
ALTER TABLE tariff
    ADD COLUMN owner_id  bigint REFERENCES account,
    ADD CONSTRAINT tariff_owner_check CHECK (owner_id IS NULL OR kind = 'customer');
ALTER TABLE ratecard
    ADD COLUMN owner_id  bigint REFERENCES account;
CREATE INDEX tariff_owner ON tariff (owner_id);
CREATE INDEX ratecard_owner ON ratecard (owner_id);

CREATE FUNCTION tariff_ratecard_is_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT owner_id FROM tariff WHERE id = NEW.tariff_id) IS DISTINCT FROM (SELECT owner_id FROM ratecard WHERE id = NEW.ratecard_id) THEN
        RAISE EXCEPTION 'a ratecard must be of the same account as the tariff' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER is_own AFTER INSERT OR UPDATE OF tariff_id, ratecard_id ON tariff_ratecard
    FOR EACH ROW EXECUTE FUNCTION tariff_ratecard_is_own();

CREATE FUNCTION account_tariff_is_fit() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    owner bigint := (SELECT owner_id FROM tariff WHERE id = NEW.tariff_id);
BEGIN
    IF owner IS NOT NULL AND owner IS DISTINCT FROM NEW.parent_id THEN
        RAISE EXCEPTION 'the tariff of account % must be the operator''s or of the reseller above it', NEW.code USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tariff_is_fit AFTER INSERT OR UPDATE OF tariff_id, parent_id ON account
    FOR EACH ROW WHEN (NEW.tariff_id IS NOT NULL) EXECUTE FUNCTION account_tariff_is_fit();

ALTER TABLE account
    ADD COLUMN own_rates  boolean NOT NULL DEFAULT true;   -- whether its own logins see what they pay

-- What takes longer than a page: looking through a file of rates, importing it, undoing that, writing a large list. The
-- process that runs a job says that it lives; files lie on its disk.
CREATE TABLE job (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL CHECK (kind IN ('preview', 'import', 'undo', 'export')),
    status       text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'finished', 'failed', 'cancelled')),
    title        text NOT NULL,
    login        text NOT NULL,
    user_id      bigint REFERENCES panel_user ON DELETE SET NULL,
    account_id   bigint REFERENCES account ON DELETE CASCADE,     -- whose ratecard, or whose login; empty: the operator's
    ratecard_id  bigint,                                          -- no reference: an import locks its ratecard
    parameters   jsonb NOT NULL DEFAULT '{}',
    instance     uuid NOT NULL,                                   -- the run of the panel that has it
    step         text NOT NULL DEFAULT '',
    part         real NOT NULL DEFAULT 0,                         -- of the step, 0 to 1
    total        bigint,                                          -- rows; empty: not known
    fault        text NOT NULL DEFAULT '',
    result       jsonb NOT NULL DEFAULT '{}',
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    step_at      timestamptz,
    ended_at     timestamptz,
    beat_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_user ON job (user_id, id);
CREATE INDEX job_ratecard ON job (ratecard_id, id);
CREATE INDEX job_open ON job (id) WHERE status IN ('waiting', 'running');

-- How many accounts a tariff has is counted for each one listed.
CREATE INDEX account_by_tariff ON account (tariff_id);

-- Customers in the order of what they own. It makes the debit of an account a little dearer: two entries of indexes.
CREATE INDEX account_balance_order ON account_balance (balance, account_id);
