-- name: due
-- Another router may have its hands on one: then the next.
SELECT alerts.document, alert_deliveries.document
FROM alert_deliveries JOIN alerts ON alerts.id = alert_deliveries.alert_id
WHERE webhook = :webhook AND is_pending AND due_at <= :now
ORDER BY due_at, alert_deliveries.alert_id LIMIT 1 FOR UPDATE OF alert_deliveries SKIP LOCKED;

-- name: alerts
-- With the documents of their deliveries as an array.
SELECT raised_at, id, document, (
    SELECT json_agg(alert_deliveries.document::json)::text
    FROM alert_deliveries WHERE alert_deliveries.alert_id = alerts.id
) FROM alerts
WHERE (raised_at, id) < (:at, :id) ORDER BY raised_at DESC, id DESC LIMIT :limit;

-- name: export_alerts
SELECT id, raised_at, document, (
    SELECT json_agg(alert_deliveries.document::json)::text
    FROM alert_deliveries WHERE alert_deliveries.alert_id = alerts.id
) FROM alerts WHERE id > :after ORDER BY id LIMIT :limit;
