-- What an engine has measured of an anchored call, of what came from the caller's side (a_) and from the callee's (b_); of the
-- connection at its end. It comes after the record. What nobody measured is empty, never 0.
ALTER TABLE cdr
    ADD COLUMN a_packets    bigint,
    ADD COLUMN a_lost       bigint,
    ADD COLUMN a_jitter_ms  numeric,
    ADD COLUMN a_mos        numeric,     -- 1 to 4.5: what the callee hears
    ADD COLUMN b_packets    bigint,
    ADD COLUMN b_lost       bigint,
    ADD COLUMN b_jitter_ms  numeric,
    ADD COLUMN b_mos        numeric;     -- what the caller hears
