-- What the reconciler keeps, in the schema of all; it has a row of its own in `owner`.

-- When each organization was seen first: what came before is not compared by itself.
CREATE TABLE organizations (
    id text COLLATE "C" PRIMARY KEY,
    begun_at bigint NOT NULL
);

-- One row an organization, report and bucket. next_attempt_at is NULL where nothing is planned.
CREATE TABLE reconciliations (
    id text COLLATE "C" PRIMARY KEY,
    organization_id text COLLATE "C" NOT NULL,
    kind text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    next_attempt_at bigint,
    document text NOT NULL
);
CREATE INDEX reconciliations_by_age ON reconciliations (starts_at, id);
CREATE INDEX reconciliations_by_bucket ON reconciliations (organization_id, kind, starts_at);
CREATE INDEX reconciliations_by_plan
ON reconciliations (organization_id, kind, next_attempt_at) WHERE next_attempt_at IS NOT NULL;

-- When a key was used last, by the name of its variable: polls keep their distance over a restart.
CREATE TABLE polls (
    key_name text COLLATE "C" PRIMARY KEY,
    polled_at bigint NOT NULL
);
