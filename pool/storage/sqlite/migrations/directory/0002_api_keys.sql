-- Keys of callers, and what they use of their limits. A document holds digests, never a secret.

-- The keys. A revoked one keeps its name for as long as it is here.
CREATE TABLE api_keys (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_at INTEGER NOT NULL,
    revoked_at INTEGER,
    document TEXT NOT NULL
) STRICT;

-- When the next request of a key would be due at an even pace: its rate limit in one number.
CREATE TABLE key_paces (
    key_id TEXT PRIMARY KEY,
    next_at INTEGER NOT NULL
) STRICT;

-- What each execution holds of its key's limits; settled_at is NULL until it has ended. One whose
-- cost is in doubt holds the rest of its amount until held_until.
CREATE TABLE key_charges (
    execution_id TEXT PRIMARY KEY,
    key_id TEXT NOT NULL,
    amount_nano_usd INTEGER NOT NULL,
    reserved_at INTEGER NOT NULL,
    cost_nano_usd INTEGER,
    settled_at INTEGER,
    held_until INTEGER
) STRICT;
CREATE INDEX key_charges_open ON key_charges (key_id, amount_nano_usd) WHERE settled_at IS NULL;
CREATE INDEX key_charges_held ON key_charges (key_id, held_until) WHERE held_until IS NOT NULL;
CREATE INDEX key_charges_by_end ON key_charges (settled_at) WHERE settled_at IS NOT NULL;

-- What each key has spent, by the hour in which the executions ended.
CREATE TABLE key_hours (
    key_id TEXT NOT NULL,
    starts_at INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (key_id, starts_at)
) STRICT, WITHOUT ROWID;
