-- name: add
-- The unique id and the unique name decide: whoever comes second changes nothing.
INSERT INTO api_keys (id, name, created_at, revoked_at, document)
VALUES (:id, :name, :created_at, :revoked_at, :document)
ON CONFLICT DO NOTHING;

-- name: count
SELECT count(*) FROM api_keys;

-- name: key
SELECT document FROM api_keys WHERE id = :id;

-- name: named
SELECT document FROM api_keys WHERE name = :name;

-- name: keys
SELECT document FROM api_keys ORDER BY created_at, id;

-- name: replace
UPDATE api_keys SET revoked_at = :revoked_at, document = :document WHERE id = :id;

-- name: is_charged
SELECT 1 FROM key_charges WHERE execution_id = :execution_id;

-- name: reserve
INSERT INTO key_charges (execution_id, key_id, amount_nano_usd, reserved_at)
VALUES (:execution_id, :key_id, :amount_nano_usd, :reserved_at);

-- name: open_charge
SELECT amount_nano_usd FROM key_charges
WHERE execution_id = :execution_id AND settled_at IS NULL;

-- name: top_up
UPDATE key_charges SET amount_nano_usd = :amount_nano_usd
WHERE execution_id = :execution_id AND settled_at IS NULL;

-- name: release
DELETE FROM key_charges WHERE execution_id = :execution_id AND settled_at IS NULL;

-- name: settle
-- Once: a charge that is settled already is left alone, and no row comes back.
INSERT INTO key_charges (
    execution_id, key_id, amount_nano_usd, reserved_at, cost_nano_usd, settled_at, held_until
)
VALUES (
    :execution_id, :key_id, :amount_nano_usd, :reserved_at, :cost_nano_usd, :settled_at, :held_until
)
ON CONFLICT (execution_id) DO UPDATE SET
    cost_nano_usd = excluded.cost_nano_usd,
    settled_at = excluded.settled_at,
    held_until = excluded.held_until
WHERE key_charges.settled_at IS NULL
RETURNING 1;

-- name: spend
INSERT INTO key_hours (key_id, starts_at, cost_nano_usd)
VALUES (:key_id, :hour, :cost_nano_usd)
ON CONFLICT (key_id, starts_at) DO UPDATE SET
    cost_nano_usd = key_hours.cost_nano_usd + excluded.cost_nano_usd;

-- name: open_charges
SELECT execution_id, key_id, amount_nano_usd, reserved_at FROM key_charges
WHERE settled_at IS NULL ORDER BY reserved_at, execution_id;

-- name: reserved
-- How many executions run or wait, and what they hold.
SELECT count(*), coalesce(sum(amount_nano_usd), 0) FROM key_charges
WHERE key_id = :key_id AND settled_at IS NULL;

-- name: hours
SELECT starts_at, cost_nano_usd FROM key_hours
WHERE key_id = :key_id AND starts_at >= :since ORDER BY starts_at;

-- name: expire_charges
DELETE FROM key_charges WHERE settled_at < :before;

-- name: expire_hours
DELETE FROM key_hours WHERE starts_at < :before;

-- name: expire_keys
DELETE FROM api_keys WHERE revoked_at < :before
AND EXISTS (SELECT 1 FROM api_keys WHERE revoked_at IS NULL);

-- name: export_keys
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT id, document FROM api_keys WHERE id > :after ORDER BY id LIMIT :limit;

-- name: export_key_charges
SELECT execution_id, key_id, amount_nano_usd, reserved_at, cost_nano_usd, settled_at, held_until
FROM key_charges WHERE execution_id > :after ORDER BY execution_id LIMIT :limit;

-- name: load_key
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO api_keys (id, name, created_at, revoked_at, document)
VALUES (:id, :name, :created_at, :revoked_at, :document);

-- name: load_key_charge
INSERT INTO key_charges (
    execution_id, key_id, amount_nano_usd, reserved_at, cost_nano_usd, settled_at, held_until
)
VALUES (
    :execution_id, :key_id, :amount_nano_usd, :reserved_at, :cost_nano_usd, :settled_at, :held_until
);

-- name: load_key_hour
INSERT INTO key_hours (key_id, starts_at, cost_nano_usd)
VALUES (:key_id, :starts_at, :cost_nano_usd);
