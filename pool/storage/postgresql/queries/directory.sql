-- name: begin_term
-- Routers have a row in "owner" as owners do; none of their writes goes by it. Its holder is a pool, or
-- "the router", of an earlier release; its seq are the beats.
INSERT INTO owner (subscription_id, epoch, holder) VALUES ('router:', 1, :holder)
ON CONFLICT (subscription_id) DO UPDATE SET
    epoch = owner.epoch + 1, seq = owner.seq + 1, holder = excluded.holder
WHERE owner.holder IN (excluded.holder, 'the router') OR owner.seq = :silent::bigint
RETURNING epoch;

-- name: rival
SELECT holder, seq FROM owner WHERE subscription_id = 'router:';

-- name: beat
-- Of the term that runs; whoever was overtaken beats no more, and is told of the latest one.
UPDATE owner SET seq = seq + (epoch = :term)::int WHERE subscription_id = 'router:' RETURNING epoch;

-- name: term
SELECT epoch FROM owner WHERE subscription_id = 'router:';

-- name: use_claim
-- Asked for again: kept that much longer.
UPDATE claims SET used_at = :now WHERE execution_id = :execution_id AND used_at < :now;

-- name: place
-- Compare and set: of two who saw the execution at the same place, one moves it. Its session lives
-- there too, if it lives nowhere yet, and holds another conversation from here on.
WITH placed AS (
    UPDATE claims SET subscription_id = :subscription_id, placement = placement + 1, epoch = :epoch
    WHERE execution_id = :execution_id AND subscription_id IS NOT DISTINCT FROM :instead_of::text
        AND placement = coalesce(:placement::bigint, placement)
    RETURNING used_at, execution_id
)
INSERT INTO session_homes (session_id, subscription_id, used_at, tenant, last_execution_id)
SELECT :session_id, :subscription_id, used_at, :tenant, execution_id FROM placed
ON CONFLICT (session_id) DO UPDATE SET
    used_at = greatest(excluded.used_at, session_homes.used_at),
    tenant = coalesce(session_homes.tenant, excluded.tenant),
    last_execution_id = excluded.last_execution_id, conversation = NULL;

-- name: locate
-- The key's claim before the id's, since the key is what the caller repeats.
SELECT execution_id, digest, created_at, subscription_id, placement, epoch FROM claims
WHERE execution_id = :execution_id OR key = :key
ORDER BY (key IS NOT DISTINCT FROM :key) DESC LIMIT 1;

-- name: session_homes
-- A page, those used last first, below (:at, :id).
SELECT used_at, session_id, subscription_id, fetch_from, tenant FROM session_homes
WHERE (used_at, session_id) < (:at, :id)
    AND (:subscription_id::text IS NULL OR subscription_id = :subscription_id)
    AND (:open::json IS NULL OR EXISTS (
        SELECT 1 FROM json_array_elements_text(:open::json) AS pattern WHERE
            subscription_id LIKE replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_')
    ))
ORDER BY used_at DESC, session_id DESC LIMIT :limit;

-- name: session_homes_by_tenant
-- Of one tenant: the index leads to its rows alone.
SELECT used_at, session_id, subscription_id, fetch_from, tenant FROM session_homes
WHERE tenant = :tenant AND (used_at, session_id) < (:at, :id)
    AND (:subscription_id::text IS NULL OR subscription_id = :subscription_id)
    AND (:open::json IS NULL OR EXISTS (
        SELECT 1 FROM json_array_elements_text(:open::json) AS pattern WHERE
            subscription_id LIKE replace(replace(replace(pattern, '_', '\_'), '*', '%'), '?', '_')
    ))
ORDER BY used_at DESC, session_id DESC LIMIT :limit;

-- name: move_session
-- Compare and set. What was not fetched yet stays where it is, and is at hand where it goes back to.
UPDATE session_homes SET
    subscription_id = :subscription_id,
    fetch_from = CASE
        WHEN NOT :with_history::boolean THEN NULL
        ELSE nullif(coalesce(fetch_from, subscription_id), :subscription_id)
    END
WHERE session_id = :session_id AND subscription_id = :instead_of;

-- name: session_to_fetch
SELECT fetch_from FROM session_homes
WHERE session_id = :session_id AND subscription_id = :subscription_id AND fetch_from IS NOT NULL FOR UPDATE;

-- name: expire_claims
-- What another router has its hands on was used just now, or is being removed already.
DELETE FROM claims WHERE execution_id IN (
    SELECT execution_id FROM claims WHERE used_at < :before
    ORDER BY used_at LIMIT :limit FOR UPDATE SKIP LOCKED
);

-- name: expire_session_homes
DELETE FROM session_homes WHERE session_id IN (
    SELECT session_id FROM session_homes WHERE used_at < :before
    ORDER BY used_at LIMIT :limit FOR UPDATE SKIP LOCKED
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
