-- The rows of all subscriptions, each under its id, and of the directory. Times are microseconds
-- since 1970 UTC, money is nano-dollars; a `document` is the whole value as JSON (as text: it comes
-- back exactly as it was), and the columns beside it are what is searched by. Text is compared byte
-- by byte, whatever the database's locale: pages go by it.

-- Who owns a subscription's rows. The epoch rises with every activation; seq rises in the first
-- statement of every transaction that writes, so it also tells whether the last one was committed.
-- An activation that took over notes where the one before it had come to.
CREATE TABLE owner (
    subscription_id text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    seq bigint NOT NULL DEFAULT 0,
    seq_before bigint NOT NULL DEFAULT 0,
    holder text NOT NULL
) WITH (fillfactor = 50);

-- What there is once: the operator's orders and the seat's troubles, and what outlives retention.
CREATE TABLE seats (
    subscription_id text COLLATE "C" PRIMARY KEY,
    standing text,
    executions_ended bigint NOT NULL DEFAULT 0,
    last_request_at bigint,
    last_session_id text,
    last_session_at bigint
) WITH (fillfactor = 50);

-- Executions: intent, progress, outcome. ended_at is NULL as long as one has not ended.
CREATE TABLE executions (
    subscription_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    status text NOT NULL,
    session_id text NOT NULL,
    created_at bigint NOT NULL,
    ended_at bigint,
    document text NOT NULL,
    PRIMARY KEY (subscription_id, id)
);
CREATE INDEX executions_by_age ON executions (subscription_id, created_at, id);
CREATE INDEX executions_by_status ON executions (subscription_id, status, created_at, id);
CREATE INDEX executions_by_session ON executions (subscription_id, session_id, created_at, id);
CREATE INDEX executions_by_end ON executions (subscription_id, ended_at)
WHERE ended_at IS NOT NULL;

-- Usage records. The index holds all that an activation reads of them.
CREATE TABLE usage_records (
    subscription_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    timestamp bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    source text NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (subscription_id, id)
);
CREATE INDEX usage_records_by_age ON usage_records (subscription_id, timestamp, id)
INCLUDE (cost_nano_usd, source);

-- Sums of the records of each 5-hour block, and of each model in it. They outlive the records, and
-- the lifetime totals are the sums of these.
CREATE TABLE blocks (
    subscription_id text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    records bigint NOT NULL,
    PRIMARY KEY (subscription_id, starts_at)
);
CREATE TABLE block_models (
    subscription_id text COLLATE "C" NOT NULL,
    starts_at bigint NOT NULL,
    model text COLLATE "C" NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cache_creation_input_tokens bigint NOT NULL,
    cache_read_input_tokens bigint NOT NULL,
    cost_nano_usd bigint NOT NULL,
    PRIMARY KEY (subscription_id, starts_at, model)
);

-- What the CLI reported about Anthropic's limits: every event, and the last sight of each window.
CREATE TABLE limit_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subscription_id text COLLATE "C" NOT NULL,
    observed_at bigint NOT NULL,
    document text NOT NULL
);
CREATE INDEX limit_events_by_age ON limit_events (subscription_id, observed_at, seq);
CREATE INDEX limit_events_by_seq ON limit_events (subscription_id, seq);
CREATE TABLE windows (
    subscription_id text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (subscription_id, name)
);

-- The CLI's sessions on a subscription, with the running total each reported last.
CREATE TABLE sessions (
    subscription_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    total_nano_usd bigint,
    last_used_at bigint NOT NULL,
    PRIMARY KEY (subscription_id, id)
);
CREATE INDEX sessions_by_use ON sessions (subscription_id, last_used_at);

-- The directory: execution ids that were taken, and the idempotency keys they were taken with. Both
-- are unique: one key can never start two runs. claimed_by names the call that took it, so that the
-- call can tell, also after it lost its connection.
CREATE TABLE claims (
    execution_id text COLLATE "C" PRIMARY KEY,
    key text COLLATE "C" UNIQUE,
    digest text NOT NULL,
    created_at bigint NOT NULL,
    used_at bigint NOT NULL,
    subscription_id text,
    claimed_by uuid NOT NULL
);
CREATE INDEX claims_by_use ON claims (used_at);

-- Which subscription holds a session.
CREATE TABLE session_homes (
    session_id text COLLATE "C" PRIMARY KEY,
    subscription_id text NOT NULL,
    used_at bigint NOT NULL
);
CREATE INDEX session_homes_by_use ON session_homes (used_at);

-- The subscriptions that the pool knows.
CREATE TABLE registrations (
    id text COLLATE "C" PRIMARY KEY,
    created_at bigint NOT NULL,
    document text NOT NULL
);
