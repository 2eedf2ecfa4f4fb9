-- What the reconciler keeps. Times are microseconds since 1970 UTC; a `document` is the whole value
-- as JSON, and the columns beside it are what is searched by.

-- Who owns the file. The epoch rises with every activation; each transaction checks it.
CREATE TABLE owner (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    boot_id TEXT,
    pid INTEGER,
    started_ticks INTEGER
) STRICT;
INSERT INTO owner (one, epoch) VALUES (1, 0);

-- When each organization was seen first: what came before is not compared by itself.
CREATE TABLE organizations (
    id TEXT PRIMARY KEY,
    begun_at INTEGER NOT NULL
) STRICT;

-- One row an organization, report and bucket. next_attempt_at is NULL where nothing is planned.
CREATE TABLE reconciliations (
    id TEXT PRIMARY KEY,
    organization_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    next_attempt_at INTEGER,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX reconciliations_by_age ON reconciliations (starts_at, id);
CREATE INDEX reconciliations_by_bucket ON reconciliations (organization_id, kind, starts_at);
CREATE INDEX reconciliations_by_plan
ON reconciliations (organization_id, kind, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- When a key was used last, by the name of its variable: polls keep their distance over a restart.
CREATE TABLE polls (
    key_name TEXT PRIMARY KEY,
    polled_at INTEGER NOT NULL
) STRICT;
