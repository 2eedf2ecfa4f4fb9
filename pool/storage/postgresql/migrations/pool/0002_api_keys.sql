-- Keys of callers, and what they use of their limits. A document holds digests, never a secret.

-- The keys. A revoked one keeps its name for as long as it is here.
CREATE TABLE api_keys (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    created_at bigint NOT NULL,
    revoked_at bigint,
    document text NOT NULL
);

-- One row a key whose use is counted. It is locked by whoever judges or settles, so that of several
-- routers one at a time does. next_at says when the next request would be due at an even pace: the
-- rate limit in one number.
CREATE TABLE key_accounts (
    key_id text COLLATE "C" PRIMARY KEY,
    next_at bigint
) WITH (fillfactor = 50);

-- What each execution holds of its key's limits; settled_at is NULL until it has ended. One whose
-- cost is in doubt holds the rest of its amount until held_until.
CREATE TABLE key_charges (
    execution_id text COLLATE "C" PRIMARY KEY,
    key_id text COLLATE "C" NOT NULL,
    amount_nano_usd bigint NOT NULL,
    reserved_at bigint NOT NULL,
    cost_nano_usd bigint,
    settled_at bigint,
    held_until bigint
);
CREATE INDEX key_charges_open ON key_charges (key_id, amount_nano_usd) WHERE settled_at IS NULL;
CREATE INDEX key_charges_held ON key_charges (key_id, held_until) WHERE held_until IS NOT NULL;
CREATE INDEX key_charges_by_end ON key_charges (settled_at) WHERE settled_at IS NOT NULL;

-- What each key has spent, by the hour in which the executions ended.
CREATE TABLE key_hours (
    key_id text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    PRIMARY KEY (key_id, starts_at)
);
