-- The rest of what an engine measures of an anchored call: the round trip between both ends, as far as what the caller's side (a_)
-- and the callee's (b_) sent is concerned, and whether one of them, or both, could not be heard. Empty: not measured, or no fault.
ALTER TABLE cdr
    ADD COLUMN a_round_trip_ms numeric,
    ADD COLUMN b_round_trip_ms numeric,
    ADD COLUMN audio           text CHECK (audio IN ('one-way', 'silent'));
