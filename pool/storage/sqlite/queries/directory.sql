-- name: begin_term
-- Who opens the file owns it: the epoch was counted on by that, and there are no others.
SELECT epoch FROM owner;

-- name: term
SELECT epoch FROM owner;

-- name: use_claim
-- Asked for again: kept that much longer.
UPDATE claims SET used_at = max(used_at, :now) WHERE execution_id = :execution_id;

-- name: place
-- Compare and set: of two who saw the execution at the same place, one moves it. Its session lives
-- there too, if it lives nowhere yet, and holds another conversation from here on.
INSERT INTO session_homes (session_id, subscription_id, used_at, tenant, last_execution_id)
SELECT :session_id, :subscription_id, used_at, :tenant, execution_id FROM claims
WHERE execution_id = :execution_id AND subscription_id IS :instead_of
    AND placement = coalesce(:placement, placement)
ON CONFLICT (session_id) DO UPDATE SET
    used_at = max(excluded.used_at, used_at), tenant = coalesce(tenant, excluded.tenant),
    last_execution_id = excluded.last_execution_id, conversation = NULL;
UPDATE claims SET subscription_id = :subscription_id, placement = placement + 1, epoch = :epoch
WHERE execution_id = :execution_id AND subscription_id IS :instead_of
    AND placement = coalesce(:placement, placement);

-- name: locate
-- The key's claim before the id's, since the key is what the caller repeats.
SELECT execution_id, digest, created_at, subscription_id, placement, epoch FROM claims
WHERE execution_id = :execution_id OR key = :key
ORDER BY key IS :key DESC LIMIT 1;

-- name: session_homes
-- A page, those used last first, below (:at, :id).
SELECT used_at, session_id, subscription_id, fetch_from, tenant FROM session_homes
WHERE (used_at, session_id) < (:at, :id)
    AND (:subscription_id IS NULL OR subscription_id = :subscription_id)
    AND (:open IS NULL
        OR EXISTS (SELECT 1 FROM json_each(:open) WHERE subscription_id GLOB value))
ORDER BY used_at DESC, session_id DESC LIMIT :limit;

-- name: session_homes_by_tenant
-- Of one tenant: the index leads to its rows alone.
SELECT used_at, session_id, subscription_id, fetch_from, tenant FROM session_homes
WHERE tenant = :tenant AND (used_at, session_id) < (:at, :id)
    AND (:subscription_id IS NULL OR subscription_id = :subscription_id)
    AND (:open IS NULL
        OR EXISTS (SELECT 1 FROM json_each(:open) WHERE subscription_id GLOB value))
ORDER BY used_at DESC, session_id DESC LIMIT :limit;

-- name: move_session
-- Compare and set. What was not fetched yet stays where it is, and is at hand where it goes back to.
UPDATE session_homes SET
    subscription_id = :subscription_id,
    fetch_from = CASE
        WHEN NOT :with_history THEN NULL
        ELSE nullif(coalesce(fetch_from, subscription_id), :subscription_id)
    END
WHERE session_id = :session_id AND subscription_id = :instead_of;

-- name: session_to_fetch
SELECT fetch_from FROM session_homes
WHERE session_id = :session_id AND subscription_id = :subscription_id AND fetch_from IS NOT NULL;

-- name: expire_claims
DELETE FROM claims WHERE execution_id IN (
    SELECT execution_id FROM claims WHERE used_at < :before ORDER BY used_at LIMIT :limit
);

-- name: expire_session_homes
DELETE FROM session_homes WHERE session_id IN (
    SELECT session_id FROM session_homes WHERE used_at < :before ORDER BY used_at LIMIT :limit
);

-- name: export_claims
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT execution_id, key, digest, created_at, used_at, subscription_id, placement, epoch FROM claims
WHERE execution_id > :after ORDER BY execution_id LIMIT :limit;

-- name: load_claim
INSERT INTO claims (
    execution_id, key, digest, created_at, used_at, subscription_id, placement, epoch
)
VALUES (
    :execution_id, :key, :digest, :created_at, :used_at, :subscription_id, :placement, :epoch
);
