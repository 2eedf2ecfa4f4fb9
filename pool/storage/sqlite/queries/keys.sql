-- name: one_at_a_time
-- Writes come one after the other here, which is lock enough, here and below.
SELECT 1;

-- name: key_to_change
SELECT document FROM api_keys WHERE id = :id;

-- name: account
-- An account has a row from its first pace on.
SELECT 1;

-- name: lock
SELECT 1;

-- name: set_pace
INSERT INTO key_paces (key_id, next_at) VALUES (:key_id, :next_at)
ON CONFLICT (key_id) DO UPDATE SET next_at = excluded.next_at;

-- name: pace
SELECT next_at FROM key_paces WHERE key_id = :key_id;

-- name: held
-- What is held for executions whose cost is in doubt, beyond what is known of it.
SELECT coalesce(sum(max(amount_nano_usd - cost_nano_usd, 0)), 0) FROM key_charges
WHERE key_id = :key_id AND held_until > :now;

-- name: expire_paces
DELETE FROM key_paces WHERE next_at < :before;

-- name: export_key_hours
SELECT at, key_id, starts_at, cost_nano_usd FROM (
    SELECT (printf('%s/%020d', key_id, starts_at)) AS at, key_id, starts_at, cost_nano_usd FROM key_hours
) AS hours
WHERE at > :after ORDER BY at LIMIT :limit;
