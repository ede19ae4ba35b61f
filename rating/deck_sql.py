"""The SQL of imports of rates: `rating.deck_import` says what it is for.

Temporary tables of one transaction: deck_line is the file, a column that it lacks being null throughout; deck_plan is
what each line comes to; deck_removed are the rates that a replacing file lacks.
"""

from typing import Final

MAKE_TABLES: Final = """
SET LOCAL work_mem = '64MB';
CREATE TEMPORARY TABLE deck_line (
    line integer,
    prefix text,
    destination text,
    rate_per_minute numeric,
    connection_charge numeric,
    minimum integer,
    resolution integer,
    blocks_mode text,
    grace integer,
    multiplier numeric,
    addition numeric,
    setup numeric,
    rental numeric,
    channels integer,
    status text,
    valid_from timestamptz,
    valid_until timestamptz
) ON COMMIT DROP;
CREATE TEMPORARY TABLE deck_plan (
    line integer,
    kind text,
    old_id bigint,
    supersedes boolean,
    prefix text,
    destination text,
    rate_per_minute numeric,
    connection_charge numeric,
    minimum integer,
    resolution integer,
    blocks_mode text,
    grace integer,
    multiplier numeric,
    addition numeric,
    setup numeric,
    rental numeric,
    channels integer,
    status text,
    valid_from timestamptz,
    valid_until timestamptz
) ON COMMIT DROP;
CREATE TEMPORARY TABLE deck_removed (id bigint PRIMARY KEY, ends boolean) ON COMMIT DROP
"""

DOUBLES: Final = """
SELECT line.line, line.prefix, twice.first_line
FROM deck_line AS line
JOIN (
    SELECT prefix, valid_from, min(line) AS first_line
    FROM deck_line
    GROUP BY prefix, valid_from
    HAVING count(*) > 1
) AS twice ON twice.prefix = line.prefix AND twice.valid_from IS NOT DISTINCT FROM line.valid_from
WHERE line.line > twice.first_line
ORDER BY line.line
LIMIT 100
"""

ENDED_EARLY: Final = """
SELECT line, valid_until FROM deck_line WHERE valid_until <= valid_from ORDER BY line LIMIT 100
"""

PLAN_IN_FORCE: Final = """
INSERT INTO deck_plan (
    line, kind, old_id, supersedes, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
)
SELECT line,
    CASE
        WHEN old_id IS NULL THEN 'new'
        WHEN is_same AND valid_until = old_until THEN 'unchanged'
        ELSE 'changed'
    END,
    old_id, coalesce(NOT $3 AND NOT is_same AND old_from < $2, false), prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    CASE
        -- What has no history has always been so; what has one begins now.
        WHEN old_id IS NULL AND $3 AND NOT has_history THEN '-infinity'
        WHEN old_id IS NULL OR NOT ($3 OR is_same) THEN $2
        ELSE old_from
    END,
    valid_until
FROM (
    SELECT line.line, line.prefix, old.id AS old_id, old.valid_from AS old_from, old.valid_until AS old_until,
        other.prefix IS NOT NULL AS has_history,
        coalesce(line.destination, old.destination, '') AS destination,
        coalesce(line.rate_per_minute, old.rate_per_minute) AS rate_per_minute,
        coalesce(line.connection_charge, old.connection_charge, 0) AS connection_charge,
        coalesce(line.minimum, old.minimum, 1) AS minimum,
        coalesce(line.resolution, old.resolution, 1) AS resolution,
        coalesce(line.blocks_mode, old.blocks_mode, 'from_zero') AS blocks_mode,
        coalesce(line.grace, old.grace, 0) AS grace,
        coalesce(line.multiplier, old.multiplier, 1) AS multiplier,
        coalesce(line.addition, old.addition, 0) AS addition,
        coalesce(line.setup, old.setup, 0) AS setup,
        coalesce(line.rental, old.rental, 0) AS rental,
        nullif(coalesce(line.channels, old.channels, -1), -1) AS channels,
        coalesce(line.status, old.status, 'active') AS status,
        CASE
            WHEN $4 THEN 'infinity'
            ELSE coalesce(old.valid_until, other.next_from, 'infinity')
        END AS valid_until,
        old.id IS NOT NULL
            AND (line.destination IS NULL OR line.destination = old.destination)
            AND (line.rate_per_minute IS NULL OR line.rate_per_minute = old.rate_per_minute)
            AND (line.connection_charge IS NULL OR line.connection_charge = old.connection_charge)
            AND (line.minimum IS NULL OR line.minimum = old.minimum)
            AND (line.resolution IS NULL OR line.resolution = old.resolution)
            AND (line.blocks_mode IS NULL OR line.blocks_mode = old.blocks_mode)
            AND (line.grace IS NULL OR line.grace = old.grace)
            AND (line.multiplier IS NULL OR line.multiplier = old.multiplier)
            AND (line.addition IS NULL OR line.addition = old.addition)
            AND (line.setup IS NULL OR line.setup = old.setup)
            AND (line.rental IS NULL OR line.rental = old.rental)
            AND (line.channels IS NULL OR nullif(line.channels, -1) IS NOT DISTINCT FROM old.channels)
            AND (line.status IS NULL OR line.status = old.status)
            AS is_same
    FROM deck_line AS line
    LEFT JOIN (
        SELECT DISTINCT ON (prefix) id, prefix,
            destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace,
            multiplier, addition, setup, rental, channels, status,
            valid_from, valid_until
        FROM rate
        WHERE ratecard_id = $1 AND valid_from <= $2 AND valid_until > $2
        ORDER BY prefix, valid_from DESC
    ) AS old ON old.prefix = line.prefix
    LEFT JOIN (
        SELECT prefix, min(valid_from) FILTER (WHERE valid_from > $2) AS next_from
        FROM rate
        WHERE ratecard_id = $1
        GROUP BY prefix
    ) AS other ON other.prefix = line.prefix
) AS merged
"""
"""$1 ratecard, $2 moment, $3 whether in place, $4 whether the file is the whole ratecard."""

PLAN_DATED: Final = """
INSERT INTO deck_plan (
    line, kind, old_id, supersedes, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
)
SELECT line.line,
    CASE
        WHEN old.id IS NULL THEN 'new'
        WHEN (line.valid_until IS NULL OR line.valid_until = old.valid_until)
            AND (line.destination IS NULL OR line.destination = old.destination)
            AND (line.rate_per_minute IS NULL OR line.rate_per_minute = old.rate_per_minute)
            AND (line.connection_charge IS NULL OR line.connection_charge = old.connection_charge)
            AND (line.minimum IS NULL OR line.minimum = old.minimum)
            AND (line.resolution IS NULL OR line.resolution = old.resolution)
            AND (line.blocks_mode IS NULL OR line.blocks_mode = old.blocks_mode)
            AND (line.grace IS NULL OR line.grace = old.grace)
            AND (line.multiplier IS NULL OR line.multiplier = old.multiplier)
            AND (line.addition IS NULL OR line.addition = old.addition)
            AND (line.setup IS NULL OR line.setup = old.setup)
            AND (line.rental IS NULL OR line.rental = old.rental)
            AND (line.channels IS NULL OR nullif(line.channels, -1) IS NOT DISTINCT FROM old.channels)
            AND (line.status IS NULL OR line.status = old.status)
            THEN 'unchanged'
        ELSE 'changed'
    END,
    old.id, false, line.prefix,
    coalesce(line.destination, old.destination, '') AS destination,
    coalesce(line.rate_per_minute, old.rate_per_minute) AS rate_per_minute,
    coalesce(line.connection_charge, old.connection_charge, 0) AS connection_charge,
    coalesce(line.minimum, old.minimum, 1) AS minimum,
    coalesce(line.resolution, old.resolution, 1) AS resolution,
    coalesce(line.blocks_mode, old.blocks_mode, 'from_zero') AS blocks_mode,
    coalesce(line.grace, old.grace, 0) AS grace,
    coalesce(line.multiplier, old.multiplier, 1) AS multiplier,
    coalesce(line.addition, old.addition, 0) AS addition,
    coalesce(line.setup, old.setup, 0) AS setup,
    coalesce(line.rental, old.rental, 0) AS rental,
    nullif(coalesce(line.channels, old.channels, -1), -1) AS channels,
    coalesce(line.status, old.status, 'active') AS status,
    line.valid_from,
    coalesce(line.valid_until, old.valid_until, 'infinity')
FROM deck_line AS line
LEFT JOIN rate AS old
    ON old.ratecard_id = $1 AND old.prefix = line.prefix AND old.valid_from = line.valid_from
"""

REMOVE_IN_FORCE: Final = """
INSERT INTO deck_removed (id, ends)
SELECT id, NOT $3 AND valid_from < $2
FROM rate
WHERE ratecard_id = $1 AND valid_until > $2
    AND NOT EXISTS (SELECT FROM deck_plan WHERE deck_plan.old_id = rate.id)
    -- A rate that a newer one of its prefix hides stays hidden.
    AND (valid_from > $2 OR NOT EXISTS (SELECT FROM deck_plan WHERE deck_plan.prefix = rate.prefix))
"""
"""$1 ratecard, $2 moment, $3 whether in place."""

REMOVE_DATED: Final = """
INSERT INTO deck_removed (id, ends)
SELECT id, false
FROM rate
WHERE ratecard_id = $1 AND NOT EXISTS (SELECT FROM deck_plan WHERE deck_plan.old_id = rate.id)
"""

COUNT: Final = """
SELECT count(*) FILTER (WHERE kind = 'new'), count(*) FILTER (WHERE kind = 'changed'),
    count(*) FILTER (WHERE kind = 'unchanged'), (SELECT count(*) FROM deck_removed)
FROM deck_plan
"""

SOME_CHANGES: Final = """
WITH chosen AS (
    (SELECT 1 AS place, kind, line, old_id FROM deck_plan WHERE kind = 'new' ORDER BY line LIMIT $1)
    UNION ALL
    (SELECT 2, kind, line, old_id FROM deck_plan WHERE kind = 'changed' ORDER BY line LIMIT $1)
    UNION ALL
    (SELECT 3, 'removed', NULL, id FROM deck_removed ORDER BY id LIMIT $1)
)
SELECT chosen.kind, chosen.line, plan.prefix,
    plan.destination, plan.rate_per_minute, plan.connection_charge, plan.minimum, plan.resolution,
    plan.blocks_mode, plan.grace, plan.multiplier, plan.addition, plan.setup, plan.rental, plan.channels,
    plan.status,
    plan.valid_from, plan.valid_until, old.prefix AS old_prefix,
    old.destination AS old_destination, old.rate_per_minute AS old_rate_per_minute, old.connection_charge AS
    old_connection_charge, old.minimum AS old_minimum, old.resolution AS old_resolution, old.blocks_mode AS
    old_blocks_mode, old.grace AS old_grace, old.multiplier AS old_multiplier, old.addition AS old_addition,
    old.setup AS old_setup, old.rental AS old_rental, old.channels AS old_channels, old.status AS old_status,
    old.valid_from AS old_valid_from, old.valid_until AS old_valid_until
FROM chosen
LEFT JOIN deck_plan AS plan ON plan.line = chosen.line
LEFT JOIN rate AS old ON old.id = chosen.old_id
ORDER BY chosen.place, chosen.line, old.prefix
"""

BEGIN_IMPORT: Final = """
INSERT INTO rate_import
    (ratecard_id, file_name, by_whom, effective_at, rows_new, rows_changed, rows_removed, revision)
VALUES ($1, $2, $3, $4, $5, $6, $7, 0)
RETURNING id
"""

FORGET_OLDER: Final = """
DELETE FROM rate_import_row
USING rate_import
WHERE rate_import.id = rate_import_row.import_id AND rate_import.ratecard_id = $1 AND rate_import.id <> $2
"""

KEEP_OLD: Final = """
INSERT INTO rate_import_row (
    import_id, rate_id, kind, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
)
SELECT $1, id, touched.kind, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
FROM rate
JOIN (
    SELECT old_id AS id, kind FROM deck_plan WHERE kind = 'changed'
    UNION ALL
    SELECT id, CASE WHEN ends THEN 'changed' ELSE 'removed' END FROM deck_removed
) AS touched USING (id)
"""

DELETE_REMOVED: Final = """
DELETE FROM rate USING deck_removed WHERE deck_removed.id = rate.id AND NOT deck_removed.ends
"""

END_OLD: Final = """
UPDATE rate SET valid_until = $1
FROM (
    SELECT old_id AS id FROM deck_plan WHERE supersedes
    UNION ALL
    SELECT id FROM deck_removed WHERE ends
) AS ended
WHERE ended.id = rate.id
"""

UPDATE_CHANGED: Final = """
UPDATE rate SET
    destination = plan.destination,
    rate_per_minute = plan.rate_per_minute,
    connection_charge = plan.connection_charge,
    minimum = plan.minimum,
    resolution = plan.resolution,
    blocks_mode = plan.blocks_mode,
    grace = plan.grace,
    multiplier = plan.multiplier,
    addition = plan.addition,
    setup = plan.setup,
    rental = plan.rental,
    channels = plan.channels,
    status = plan.status,
    valid_until = plan.valid_until
FROM deck_plan AS plan
WHERE plan.kind = 'changed' AND NOT plan.supersedes AND rate.id = plan.old_id
"""

INSERT_NEW: Final = """
WITH made AS (
    INSERT INTO rate (
        ratecard_id, prefix,
        destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
        addition, setup, rental, channels, status,
        valid_from, valid_until
    )
    SELECT $1, prefix,
        destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
        addition, setup, rental, channels, status,
        valid_from, valid_until
    FROM deck_plan
    WHERE kind = 'new' OR supersedes
    ORDER BY prefix
    RETURNING id
)
INSERT INTO rate_import_row (import_id, rate_id, kind) SELECT $2, id, 'new' FROM made
"""

END_IMPORT: Final = """
UPDATE rate_import SET revision = (SELECT revision FROM config_revision) WHERE id = $1
"""

LAST_IMPORT: Final = """
SELECT rate_import.id, file_name, by_whom, created_at, rows_new, rows_changed, rows_removed, undone_at,
    EXISTS (
        SELECT FROM config_change
        WHERE config_change.revision > rate_import.revision AND table_name = 'rate' AND key = rate_import.ratecard_id
    ) AS is_overtaken
FROM rate_import
WHERE ratecard_id = $1
ORDER BY id DESC
LIMIT 1
"""

DELETE_NEW: Final = """
DELETE FROM rate USING rate_import_row AS kept
WHERE kept.import_id = $1 AND kept.kind = 'new' AND rate.id = kept.rate_id
"""

RESTORE_CHANGED: Final = """
UPDATE rate SET
    destination = kept.destination,
    rate_per_minute = kept.rate_per_minute,
    connection_charge = kept.connection_charge,
    minimum = kept.minimum,
    resolution = kept.resolution,
    blocks_mode = kept.blocks_mode,
    grace = kept.grace,
    multiplier = kept.multiplier,
    addition = kept.addition,
    setup = kept.setup,
    rental = kept.rental,
    channels = kept.channels,
    status = kept.status,
    valid_until = kept.valid_until
FROM rate_import_row AS kept
WHERE kept.import_id = $1 AND kept.kind = 'changed' AND rate.id = kept.rate_id
"""

RESTORE_REMOVED: Final = """
INSERT INTO rate (
    id, ratecard_id, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
)
OVERRIDING SYSTEM VALUE
SELECT rate_id, $2, prefix,
    destination, rate_per_minute, connection_charge, minimum, resolution, blocks_mode, grace, multiplier,
    addition, setup, rental, channels, status,
    valid_from, valid_until
FROM rate_import_row
WHERE import_id = $1 AND kind = 'removed'
"""

FORGET: Final = """
DELETE FROM rate_import_row WHERE import_id = $1
"""
