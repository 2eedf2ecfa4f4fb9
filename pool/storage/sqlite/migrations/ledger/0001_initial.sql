-- The rows of one subscription. Times are microseconds since 1970 UTC, money is nano-dollars;
-- a `document` is the whole value as JSON, and the columns beside it are what is searched by.

-- Who owns the file. The epoch rises with every activation; each transaction checks it.
CREATE TABLE owner (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL,
    boot_id TEXT,
    pid INTEGER,
    started_ticks INTEGER
) STRICT;
INSERT INTO owner (one, epoch) VALUES (1, 0);

-- What there is once: the operator's orders and the seat's troubles, and what outlives retention.
CREATE TABLE seat (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    standing TEXT,
    executions_ended INTEGER NOT NULL DEFAULT 0,
    last_request_at INTEGER,
    last_session_id TEXT,
    last_session_at INTEGER
) STRICT;
INSERT INTO seat (one) VALUES (1);

-- Executions: intent, progress, outcome. ended_at is NULL as long as one has not ended.
CREATE TABLE executions (
    id TEXT PRIMARY KEY,
    status TEXT NOT NULL,
    session_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    ended_at INTEGER,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX executions_by_age ON executions (created_at, id);
CREATE INDEX executions_by_status ON executions (status, created_at, id);
CREATE INDEX executions_by_session ON executions (session_id, created_at, id);
CREATE INDEX executions_by_end ON executions (ended_at) WHERE ended_at IS NOT NULL;

-- Usage records. The index holds all that an activation reads of them, so it never reads the rows.
CREATE TABLE usage_records (
    id TEXT PRIMARY KEY,
    timestamp INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    source TEXT NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX usage_records_by_age ON usage_records (timestamp, id, cost_nano_usd, source);

-- Sums of the records of each 5-hour block, and of each model in it. They outlive the records, and
-- the lifetime totals are the sums of these.
CREATE TABLE blocks (
    starts_at INTEGER PRIMARY KEY,
    records INTEGER NOT NULL
) STRICT;
CREATE TABLE block_models (
    starts_at INTEGER NOT NULL,
    model TEXT NOT NULL,
    input_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    cache_creation_input_tokens INTEGER NOT NULL,
    cache_read_input_tokens INTEGER NOT NULL,
    cost_nano_usd INTEGER NOT NULL,
    PRIMARY KEY (starts_at, model)
) STRICT, WITHOUT ROWID;

-- What the CLI reported about Anthropic's limits: every event, and the last sight of each window.
CREATE TABLE limit_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    observed_at INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX limit_events_by_age ON limit_events (observed_at, seq);
CREATE TABLE windows (
    name TEXT PRIMARY KEY,
    document TEXT NOT NULL
) STRICT;

-- The CLI's sessions on this subscription, with the running total each reported last.
CREATE TABLE sessions (
    id TEXT PRIMARY KEY,
    total_nano_usd INTEGER,
    last_used_at INTEGER NOT NULL
) STRICT;
CREATE INDEX sessions_by_use ON sessions (last_used_at);
