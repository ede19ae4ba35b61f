-- Which rates and devices a statement changed, so that workers read those again and nothing else.

-- Of rates the key is the ratecard and row_id the rate; of IP devices and SIP users both are their id. Where row_id is empty,
-- more was changed than is worth noting: the whole ratecard, or with the key 0 the whole table. Other tables leave it empty.
ALTER TABLE config_change ADD COLUMN row_id bigint;
CREATE INDEX config_change_key ON config_change (table_name, key, revision);

-- Called with the name of the column whose values are the keys, or with none where the rows are keys themselves.
CREATE FUNCTION config_rows_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    most constant integer := 1000;
    key_column text := coalesce(TG_ARGV[0], 'id');
    is_many boolean;
    noted text;
    changed text := CASE TG_OP
        WHEN 'DELETE' THEN 'SELECT %1$I AS key, id FROM old_rows'
        WHEN 'INSERT' THEN 'SELECT %1$I AS key, id FROM new_rows'
        ELSE 'SELECT %1$I AS key, id FROM new_rows UNION ALL SELECT %1$I AS key, id FROM old_rows'
    END;
BEGIN
    EXECUTE format('SELECT count(*) > $1 FROM (SELECT FROM %I LIMIT $1 + 1) AS few',
        CASE TG_OP WHEN 'DELETE' THEN 'old_rows' ELSE 'new_rows' END)
        INTO is_many USING most;
    noted := CASE WHEN NOT is_many THEN 'key, id' WHEN TG_NARGS > 0 THEN 'key, NULL::bigint' ELSE '0, NULL::bigint' END;
    EXECUTE format(
        'INSERT INTO config_change (revision, table_name, key, row_id)'
        ' SELECT DISTINCT $1, $2, ' || noted || ' FROM (' || changed || ') AS changed', key_column)
        USING next_config_revision(), TG_TABLE_NAME;
    RETURN NULL;
END $$;

DO $$
DECLARE
    pair text[];
BEGIN
    FOREACH pair SLICE 1 IN ARRAY ARRAY[['rate', '''ratecard_id'''], ['ip_device', ''], ['sip_user', '']] LOOP
        EXECUTE format('CREATE OR REPLACE TRIGGER config_inserted AFTER INSERT ON %I REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_rows_changed(%s)', pair[1], pair[2]);
        EXECUTE format('CREATE OR REPLACE TRIGGER config_updated AFTER UPDATE ON %I REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION config_rows_changed(%s)', pair[1], pair[2]);
        EXECUTE format('CREATE OR REPLACE TRIGGER config_deleted AFTER DELETE ON %I REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION config_rows_changed(%s)', pair[1], pair[2]);
    END LOOP;
END $$;

-- Changes older than a span are merged into one per ratecard or, of other tables, one per table. Whoever has seen all of them
-- sees nothing; whoever has not sees that everything was changed.
CREATE FUNCTION merge_config_changes(age interval) RETURNS bigint LANGUAGE sql AS $$
    WITH old AS (
        DELETE FROM config_change WHERE changed_at < now() - age RETURNING revision, table_name, key, changed_at
    ), merged AS (
        INSERT INTO config_change (revision, table_name, key, changed_at)
        SELECT max(revision), table_name, CASE WHEN table_name IN ('rate', 'ratecard') THEN key ELSE 0 END AS whole, max(changed_at)
        FROM old
        GROUP BY table_name, whole
        RETURNING revision
    )
    SELECT (SELECT count(*) FROM old) - (SELECT count(*) FROM merged)
$$;
