-- Logins of the panel: the zone in which their times are shown, a second factor, and where their sessions come from.

ALTER TABLE panel_user
    ADD COLUMN time_zone     text NOT NULL DEFAULT 'UTC' CHECK (time_zone ~ '^[A-Za-z0-9_+/-]{1,64}$'),
    ADD COLUMN signed_in_at  timestamptz,
    ADD COLUMN totp_secret   text,      -- encrypted with a key of secret.key; empty: no second factor
    ADD COLUMN totp_step     bigint,    -- that of the last code that was taken: neither it nor one before it is taken again
    ADD CONSTRAINT panel_user_totp_check CHECK (totp_secret IS NOT NULL OR totp_step IS NULL);

CREATE TABLE panel_recovery_code (
    user_id    bigint NOT NULL REFERENCES panel_user ON DELETE CASCADE,
    code_hash  bytea NOT NULL,          -- SHA-256: a code has 80 random bits, and is removed when it is used
    PRIMARY KEY (user_id, code_hash)
);

ALTER TABLE panel_session
    ADD COLUMN id      bigint GENERATED ALWAYS AS IDENTITY UNIQUE,   -- names it without telling its token
    ADD COLUMN source  text NOT NULL DEFAULT '',                     -- address of the browser at sign-in
    ADD COLUMN agent   text NOT NULL DEFAULT '';                     -- what the browser calls itself
CREATE INDEX panel_session_user ON panel_session (user_id);

-- From here on the switches of a reseller say what its logins may change of the accounts below it. They said nothing before.
UPDATE account
SET own_ip_devices = true, own_sip_users = true, own_source_rules = true, own_destination_rules = true,
    own_did_source_rules = true, own_did_destination_rules = true
WHERE kind = 'reseller';
