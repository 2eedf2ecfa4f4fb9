-- Alerts, what they came from, and where they go. Times are microseconds since 1970 UTC; a
-- `document` is the whole value as JSON.

-- How far each signal of each subject has come: an odd step is up.
CREATE TABLE alert_levels (
    key TEXT PRIMARY KEY,
    step INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;

-- The unique id decides: what is raised twice is kept once. seq counts what was kept, and bounds it.
CREATE TABLE alerts (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    raised_at INTEGER NOT NULL,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX alerts_by_age ON alerts (raised_at, id);

-- Each alert on its way to each webhook that is told of it.
CREATE TABLE alert_deliveries (
    alert_id TEXT NOT NULL,
    webhook TEXT NOT NULL,
    is_pending INTEGER NOT NULL,
    due_at INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (alert_id, webhook)
) STRICT;
CREATE INDEX alert_deliveries_due ON alert_deliveries (webhook, due_at) WHERE is_pending;
