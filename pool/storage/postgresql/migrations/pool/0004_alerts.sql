-- Alerts, what they came from, and where they go.

-- How far each signal of each subject has come: an odd step is up.
CREATE TABLE alert_levels (
    key text COLLATE "C" PRIMARY KEY,
    step bigint NOT NULL,
    seen_at bigint NOT NULL,
    document text NOT NULL
);

-- The unique id decides: what is raised twice is kept once. seq counts what was kept, and bounds it.
CREATE TABLE alerts (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    raised_at bigint NOT NULL,
    document text NOT NULL
);
CREATE INDEX alerts_by_age ON alerts (raised_at, id);

-- Each alert on its way to each webhook that is told of it.
CREATE TABLE alert_deliveries (
    alert_id text COLLATE "C" NOT NULL,
    webhook text COLLATE "C" NOT NULL,
    is_pending boolean NOT NULL,
    due_at bigint NOT NULL,
    document text NOT NULL,
    PRIMARY KEY (alert_id, webhook)
);
CREATE INDEX alert_deliveries_due ON alert_deliveries (webhook, due_at) WHERE is_pending;
