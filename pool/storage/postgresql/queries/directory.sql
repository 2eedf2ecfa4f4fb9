-- name: claim
-- The unique id and the unique key decide: whoever comes second, here or at another router, waits
-- for the first to commit and changes nothing.
INSERT INTO claims (execution_id, key, digest, created_at, used_at)
VALUES (:execution_id, :key, :digest, :now, :now)
ON CONFLICT DO NOTHING;

-- name: use_claim
-- Asked for again: kept that much longer.
UPDATE claims SET used_at = :now WHERE execution_id = :execution_id AND used_at < :now;

-- name: place
-- Compare and set: of two who saw the execution at the same place, one moves it. Its session lives
-- there too, if it lives nowhere yet.
WITH placed AS (
    UPDATE claims SET subscription_id = :subscription_id, placement = placement + 1
    WHERE execution_id = :execution_id AND subscription_id IS NOT DISTINCT FROM :instead_of::text
        AND placement = coalesce(:placement::bigint, placement)
    RETURNING used_at
)
INSERT INTO session_homes (session_id, subscription_id, used_at, tenant)
SELECT :session_id, :subscription_id, used_at, :tenant FROM placed
ON CONFLICT (session_id) DO UPDATE SET
    used_at = greatest(excluded.used_at, session_homes.used_at),
    tenant = coalesce(session_homes.tenant, excluded.tenant);

-- name: locate
-- The key's claim before the id's, since the key is what the caller repeats.
SELECT execution_id, digest, created_at, subscription_id, placement FROM claims
WHERE execution_id = :execution_id OR key = :key
ORDER BY (key IS NOT DISTINCT FROM :key) DESC LIMIT 1;

-- name: session_home
SELECT session_id, subscription_id, used_at, fetch_from, tenant FROM session_homes
WHERE session_id = :session_id;

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

-- name: name_session
-- A session that lives by its new name already stays as it is.
UPDATE session_homes SET session_id = :named
WHERE session_id = :session_id AND subscription_id = :subscription_id
    AND NOT EXISTS (SELECT 1 FROM session_homes WHERE session_id = :named);

-- name: session_to_fetch
SELECT fetch_from FROM session_homes
WHERE session_id = :session_id AND subscription_id = :subscription_id AND fetch_from IS NOT NULL FOR UPDATE;

-- name: session_fetched
UPDATE session_homes SET fetch_from = NULL WHERE session_id = :session_id;

-- name: add_session_move
INSERT INTO session_moves (session_id, moved_at, from_subscription_id, to_subscription_id)
VALUES (:session_id, :moved_at, :from_subscription_id, :to_subscription_id);

-- name: session_moves
SELECT session_id, from_subscription_id, to_subscription_id, moved_at FROM session_moves
WHERE session_id = :session_id ORDER BY seq;

-- name: forget_session
DELETE FROM session_homes WHERE session_id = :session_id;

-- name: forget_session_moves
DELETE FROM session_moves WHERE session_id = :session_id;

-- name: expire_session_moves
-- They go with their sessions.
DELETE FROM session_moves WHERE session_id NOT IN (SELECT session_id FROM session_homes);

-- name: export_session_moves
SELECT seq, session_id, from_subscription_id, to_subscription_id, moved_at
FROM session_moves WHERE seq > :after ORDER BY seq LIMIT :limit;

-- name: load_session_move
INSERT INTO session_moves (session_id, moved_at, from_subscription_id, to_subscription_id)
VALUES (:session_id, :moved_at, :from_subscription_id, :to_subscription_id);

-- name: register
INSERT INTO registrations (id, created_at, document) VALUES (:id, :created_at, :document)
ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, document = excluded.document;

-- name: unregister
DELETE FROM registrations WHERE id = :id;

-- name: registrations
SELECT document FROM registrations ORDER BY created_at, id;

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
SELECT execution_id, key, digest, created_at, used_at, subscription_id, placement FROM claims
WHERE execution_id > :after ORDER BY execution_id LIMIT :limit;

-- name: export_session_homes
SELECT session_id, subscription_id, used_at, fetch_from, tenant FROM session_homes
WHERE session_id > :after ORDER BY session_id LIMIT :limit;

-- name: load_registration
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO registrations (id, created_at, document) VALUES (:id, :created_at, :document);

-- name: load_claim
INSERT INTO claims (execution_id, key, digest, created_at, used_at, subscription_id, placement)
VALUES (:execution_id, :key, :digest, :created_at, :used_at, :subscription_id, :placement);

-- name: load_session_home
INSERT INTO session_homes (session_id, subscription_id, used_at, fetch_from, tenant)
VALUES (:session_id, :subscription_id, :used_at, :fetch_from, :tenant);

-- name: snapshots
SELECT subscription_id, document FROM snapshots WHERE document IS NOT NULL;

-- name: sleeps
-- Compare and set: an activation that was overtaken leaves nothing.
INSERT INTO snapshots (subscription_id, epoch, version, document)
VALUES (:subscription_id, :epoch, :version, :document)
ON CONFLICT (subscription_id) DO UPDATE SET
    epoch = excluded.epoch, version = excluded.version, document = excluded.document
WHERE (excluded.epoch, excluded.version) >= (snapshots.epoch, snapshots.version);

-- name: wakes
-- The next activation has this epoch, or a later one.
UPDATE snapshots SET epoch = epoch + 1, version = 0, document = NULL
WHERE subscription_id = :subscription_id AND document IS NOT NULL;

-- name: is_awake
INSERT INTO snapshots (subscription_id, epoch, version, document)
VALUES (:subscription_id, :epoch, 0, NULL)
ON CONFLICT (subscription_id) DO UPDATE SET
    epoch = excluded.epoch, version = excluded.version, document = NULL
WHERE excluded.epoch > snapshots.epoch;

-- name: forget_snapshot
DELETE FROM snapshots WHERE subscription_id = :id;

-- name: forget_snapshots
-- Not used here: a copy of the whole database is of one instant.
DELETE FROM snapshots;
