-- What a customer's form asks for: trial accounts, terms, limits of credit, contact, self-care; how entries of the ledger came to
-- be; who changed what; a login's own settings of the panel.

ALTER TABLE account
    ADD COLUMN customer_type        text NOT NULL DEFAULT 'live' CHECK (customer_type IN ('live', 'demo')),
    ADD COLUMN payment_term         smallint NOT NULL DEFAULT 14 CHECK (payment_term BETWEEN 1 AND 30),  -- days from the invoice's date
    ADD COLUMN max_credit_limit     numeric(30, 10) CHECK (max_credit_limit >= 0),   -- bounds all credit; empty: nothing does
    ADD COLUMN tax_certificate      text NOT NULL DEFAULT '' CHECK (length(tax_certificate) <= 30),
    ADD COLUMN cli_by_destination   boolean NOT NULL DEFAULT true,                   -- whether its rules of the kind cli count
    ADD COLUMN email                text NOT NULL DEFAULT ''
        CHECK (email = '' OR (length(email) <= 30 AND email ~ '^[^@[:space:]]+@[^@[:space:]]+\.[^@[:space:]]+$')),
    ADD COLUMN address              text NOT NULL DEFAULT '' CHECK (length(address) <= 200),
    ADD COLUMN phone                text NOT NULL DEFAULT '' CHECK (phone ~ '^([0-9]{10}|\+[1-9][0-9]{6,14})?$'),
    ADD COLUMN country              text NOT NULL DEFAULT '' CHECK (country ~ '^([A-Z]{2})?$'),          -- ISO 3166-1
    ADD COLUMN pin                  text NOT NULL DEFAULT '' CHECK (pin ~ '^([A-Za-z0-9][A-Za-z0-9 -]{1,8}[A-Za-z0-9])?$'),
    -- What its own logins may change.
    ADD COLUMN own_ip_devices            boolean NOT NULL DEFAULT true,
    ADD COLUMN own_sip_users             boolean NOT NULL DEFAULT true,
    ADD COLUMN own_source_rules          boolean NOT NULL DEFAULT true,
    ADD COLUMN own_destination_rules     boolean NOT NULL DEFAULT true,
    ADD COLUMN own_did_source_rules      boolean NOT NULL DEFAULT true,
    ADD COLUMN own_did_destination_rules boolean NOT NULL DEFAULT true,
    ADD CONSTRAINT account_credit_check CHECK (credit_limit <= max_credit_limit),
    -- A trial spends the credit that it was given to try, and nothing else.
    ADD CONSTRAINT account_demo_check CHECK (customer_type = 'live' OR (kind = 'customer' AND billing_type = 'prepaid' AND credit_limit = 0)),
    ADD CONSTRAINT account_percents_check CHECK (0 <= ALL (tax_percents) AND 100 >= ALL (tax_percents));

-- A code is on invoices, in records and in files of others.
CREATE FUNCTION account_code_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the code of account % never changes', OLD.code USING ERRCODE = 'check_violation';
END $$;
CREATE TRIGGER code_stays BEFORE UPDATE OF code ON account
    FOR EACH ROW WHEN (NEW.code IS DISTINCT FROM OLD.code) EXECUTE FUNCTION account_code_stays();

ALTER TABLE sip_user
    ADD COLUMN voice_mail        boolean NOT NULL DEFAULT false,
    ADD COLUMN voice_mail_email  text NOT NULL DEFAULT ''
        CHECK (voice_mail_email = '' OR (length(voice_mail_email) <= 100 AND voice_mail_email ~ '^[^@[:space:]]+@[^@[:space:]]+$'));

-- What is booked by hand says how the money came, and who booked it. request_key is of one form that was shown: sent twice, it
-- is booked once. An entry that was a mistake is taken back by another, whose reverts_id it is.
ALTER TABLE ledger_entry
    ADD COLUMN method       text NOT NULL DEFAULT '' CHECK (method IN ('', 'cash', 'bank_transfer', 'card', 'cheque')),
    ADD COLUMN by_whom      text NOT NULL DEFAULT '',
    ADD COLUMN request_key  uuid UNIQUE;

CREATE FUNCTION ledger_of_demo() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.kind = 'payment' AND NEW.amount > 0 AND (SELECT customer_type FROM account WHERE id = NEW.account_id) = 'demo' THEN
        RAISE EXCEPTION 'a DEMO account cannot pay in' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER of_demo BEFORE INSERT ON ledger_entry
    FOR EACH ROW WHEN (NEW.kind = 'payment') EXECUTE FUNCTION ledger_of_demo();

CREATE INDEX panel_user_account ON panel_user (account_id);
ALTER TABLE panel_user
    ADD COLUMN preferences jsonb NOT NULL DEFAULT '{}';   -- by list: columns and rows of a page

-- What people changed in the panel. Names stay when what they name is gone; nothing here is ever changed.
CREATE TABLE audit_entry (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at          timestamptz NOT NULL DEFAULT now(),
    login       text NOT NULL,
    role        text NOT NULL,
    acting_as   text NOT NULL DEFAULT '',                -- the login that it had switched to
    action      text NOT NULL,                           -- customer.edit
    account_id  bigint,                                  -- whom it concerns
    object      text NOT NULL,                           -- 'account CUST0007', 'IP device 192.0.2.10'
    old         jsonb,
    new         jsonb,
    source      text NOT NULL DEFAULT '',                -- address of the browser
    request_id  text NOT NULL DEFAULT ''
);
CREATE INDEX audit_entry_account ON audit_entry (account_id, id);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is never changed';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
