-- name: one_at_a_time
-- Held until the transaction ends: keys are added one after the other, so that they can be counted.
SELECT pg_advisory_xact_lock(hashtext('claude-pool keys'), hashtext(current_schema()));

-- name: key_to_change
SELECT document FROM api_keys WHERE id = :id FOR UPDATE;

-- name: account
INSERT INTO key_accounts (key_id) VALUES (:key_id) ON CONFLICT DO NOTHING;

-- name: lock
-- From here on nobody else judges or settles for this key, here or at another router.
SELECT next_at FROM key_accounts WHERE key_id = :key_id FOR UPDATE;

-- name: set_pace
UPDATE key_accounts SET next_at = :next_at WHERE key_id = :key_id;

-- name: pace
SELECT next_at FROM key_accounts WHERE key_id = :key_id;

-- name: held
-- What is held for executions whose cost is in doubt, beyond what is known of it.
SELECT coalesce(sum(greatest(amount_nano_usd - cost_nano_usd, 0)), 0) FROM key_charges
WHERE key_id = :key_id AND held_until > :now;

-- name: expire_paces
-- Accounts of keys that have made no request for so long. One that is in use is left alone.
DELETE FROM key_accounts WHERE key_id IN (
    SELECT key_id FROM key_accounts WHERE next_at < :before FOR UPDATE SKIP LOCKED
);

-- name: export_key_hours
SELECT at, key_id, starts_at, cost_nano_usd FROM (
    SELECT (key_id || '/' || lpad(starts_at::text, 20, '0')) COLLATE "C" AS at, key_id, starts_at, cost_nano_usd FROM key_hours
) AS hours
WHERE at > :after::text ORDER BY at LIMIT :limit;
