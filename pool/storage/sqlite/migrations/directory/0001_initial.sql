-- What belongs to no subscription. Times are microseconds since 1970 UTC; a `document` is the whole
-- value as JSON.

-- Who owns the file. The epoch rises with every activation; each transaction checks it.
CREATE TABLE owner (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    boot_id TEXT,
    pid INTEGER,
    started_ticks INTEGER
) STRICT;
INSERT INTO owner (one, epoch) VALUES (1, 0);

-- Execution ids that were taken, and the idempotency keys they were taken with. Both are unique:
-- one key can never start two runs.
CREATE TABLE claims (
    execution_id TEXT PRIMARY KEY,
    key TEXT UNIQUE,
    digest TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    subscription_id TEXT
) STRICT;
CREATE INDEX claims_by_use ON claims (used_at);

-- Which subscription holds a session.
CREATE TABLE session_homes (
    session_id TEXT PRIMARY KEY,
    subscription_id TEXT NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX session_homes_by_use ON session_homes (used_at);

-- The subscriptions that the pool knows.
CREATE TABLE registrations (
    id TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
