-- The order in which records were posted, and which files for outside billing hold which of them.

CREATE SEQUENCE cdr_posted_id;
-- Empty only for the moment in which a record is staged: whatever inserts into cdr takes the next number.
ALTER TABLE cdr ADD COLUMN posted_id bigint DEFAULT nextval('cdr_posted_id');
CREATE INDEX cdr_by_posted ON cdr (posted_id);

-- A file holds the records with after_posted_id < posted_id <= last_posted_id; the next one begins where it ends.
CREATE TABLE cdr_export (
    id               bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node             text NOT NULL,                           -- whose writer writes it
    name             text NOT NULL UNIQUE,
    format           text NOT NULL CHECK (format IN ('csv', 'json')),
    after_posted_id  bigint NOT NULL UNIQUE,
    last_posted_id   bigint NOT NULL UNIQUE CHECK (last_posted_id > after_posted_id),
    records          integer NOT NULL CHECK (records > 0),
    decided_at       timestamptz NOT NULL DEFAULT now(),
    written_at       timestamptz                              -- empty: the file is not whole on the disk yet
);
CREATE INDEX cdr_export_unwritten ON cdr_export (node) WHERE written_at IS NULL;
