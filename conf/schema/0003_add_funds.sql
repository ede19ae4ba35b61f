-- Credit beside the balance, the news that an account's funds have changed, profit per level, taxes of carriers.

-- How a carrier bills us: as an account is billed (docs/behaviour.md §6).
ALTER TABLE carrier
    ADD COLUMN decimals       smallint NOT NULL DEFAULT 10 CHECK (decimals BETWEEN 0 AND 10),
    ADD COLUMN rounding       text NOT NULL DEFAULT 'ROUND' CHECK (rounding IN ('ROUND', 'CEIL')),
    ADD COLUMN tax_inclusive  boolean NOT NULL DEFAULT false,
    ADD COLUMN tax_percents   numeric(7, 4)[] NOT NULL DEFAULT '{}' CHECK (cardinality(tax_percents) <= 3);

-- What the seller of a level earns: its net less the net of the level above (of the carrier, at the top), in this level's
-- currency. Empty where the exchange rate is not known, and on the carrier's row.
ALTER TABLE cdr_charge ADD COLUMN profit numeric(30, 10);

-- Temporary credit is taken back by an entry of its own when its time has come.
ALTER TABLE ledger_entry
    ADD COLUMN expires_at  timestamptz CHECK (expires_at IS NULL OR (kind = 'credit' AND amount > 0)),
    ADD COLUMN reverts_id  bigint UNIQUE REFERENCES ledger_entry;
CREATE INDEX ledger_entry_expiry ON ledger_entry (expires_at) WHERE expires_at IS NOT NULL;

ALTER TABLE account
    ADD COLUMN credit_limit numeric(30, 10) NOT NULL DEFAULT 0 CHECK (credit_limit >= 0);  -- granted to postpaid accounts

-- Credit granted to an account by hand; ledger entries of the kind 'credit' add up to it, all others to the balance.
ALTER TABLE account_balance
    ADD COLUMN granted numeric(30, 10) NOT NULL DEFAULT 0;

UPDATE account_balance SET granted = credited.amount, balance = balance - credited.amount
FROM (SELECT account_id, sum(amount) AS amount FROM ledger_entry WHERE kind = 'credit' GROUP BY account_id) AS credited
WHERE credited.account_id = account_balance.account_id;

-- Each change of what an account may spend gets a number, so that an older figure never replaces a newer one.
CREATE SEQUENCE funds_version;
ALTER TABLE account_balance ADD COLUMN version bigint NOT NULL DEFAULT nextval('funds_version');

CREATE FUNCTION balance_gets_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.version := nextval('funds_version');
    RETURN NEW;
END $$;
CREATE TRIGGER gets_version BEFORE UPDATE ON account_balance FOR EACH ROW EXECUTE FUNCTION balance_gets_version();

CREATE FUNCTION funds_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('funds', NEW.account_id::text);
    RETURN NULL;
END $$;
CREATE TRIGGER funds_changed AFTER INSERT OR UPDATE ON account_balance
    FOR EACH ROW EXECUTE FUNCTION funds_changed();

-- A change of the parent moves an account and all below it to another chain.
CREATE FUNCTION account_funds_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE account_balance SET granted = granted WHERE account_id IN (
        WITH RECURSIVE below AS (
            SELECT NEW.id AS id
            UNION
            SELECT account.id FROM account JOIN below ON account.parent_id = below.id
            WHERE NEW.parent_id IS DISTINCT FROM OLD.parent_id
        )
        SELECT id FROM below
    );
    RETURN NULL;
END $$;
CREATE TRIGGER funds_changed AFTER UPDATE OF credit_limit, billing_type, parent_id ON account
    FOR EACH ROW EXECUTE FUNCTION account_funds_changed();
