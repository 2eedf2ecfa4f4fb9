-- name: levels
SELECT document FROM alert_levels ORDER BY key;

-- name: set_level
-- Forward only: of two routers, the one that has seen more is believed.
INSERT INTO alert_levels (key, step, seen_at, document)
VALUES (:key, :step, :seen_at, :document)
ON CONFLICT (key) DO UPDATE SET
    step = excluded.step, seen_at = excluded.seen_at, document = excluded.document
WHERE (excluded.step, excluded.seen_at) > (alert_levels.step, alert_levels.seen_at);

-- name: add_alert
INSERT INTO alerts (id, raised_at, document) VALUES (:id, :raised_at, :document)
ON CONFLICT DO NOTHING;

-- name: add_delivery
INSERT INTO alert_deliveries (alert_id, webhook, is_pending, due_at, document)
VALUES (:alert_id, :webhook, :is_pending, :due_at, :document);

-- name: drop_deliveries
-- Those of the alerts that are more than :most behind.
DELETE FROM alert_deliveries WHERE alert_id IN (
    SELECT id FROM alerts WHERE seq <= (SELECT max(seq) FROM alerts) - :most
);

-- name: drop_alerts
DELETE FROM alerts WHERE seq <= (SELECT max(seq) FROM alerts) - :most;

-- name: hold
-- Nobody else takes it before then; its document still says when it was due.
UPDATE alert_deliveries SET due_at = :until WHERE alert_id = :alert_id AND webhook = :webhook;

-- name: next_due
SELECT min(due_at) FROM alert_deliveries WHERE webhook = :webhook AND is_pending;

-- name: note
UPDATE alert_deliveries SET is_pending = :is_pending, due_at = :due_at, document = :document
WHERE alert_id = :alert_id AND webhook = :webhook AND is_pending;

-- name: expire_deliveries
DELETE FROM alert_deliveries WHERE alert_id IN (SELECT id FROM alerts WHERE raised_at < :before);

-- name: expire_levels
-- Those at rest. A level that is up stays: without it, the alert would be told again.
DELETE FROM alert_levels WHERE step % 2 = 0 AND seen_at < :before;

-- name: expire_alerts
DELETE FROM alerts WHERE raised_at < :before;

-- name: export_levels
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT key, document FROM alert_levels WHERE key > :after ORDER BY key LIMIT :limit;

-- name: load_level
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO alert_levels (key, step, seen_at, document)
VALUES (:key, :step, :seen_at, :document);

-- name: load_alert
INSERT INTO alerts (id, raised_at, document) VALUES (:id, :raised_at, :document);

-- name: load_delivery
INSERT INTO alert_deliveries (alert_id, webhook, is_pending, due_at, document)
VALUES (:alert_id, :webhook, :is_pending, :due_at, :document);
