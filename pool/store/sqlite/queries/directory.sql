-- name: claim
-- The unique id and the unique key decide: whoever comes second changes nothing.
INSERT INTO claims (execution_id, key, digest, created_at, used_at)
VALUES (:execution_id, :key, :digest, :now, :now)
ON CONFLICT DO NOTHING;

-- name: claimed_before
-- The claim that stands in the way: the key's before the id's, since the key is what the caller
-- repeats.
SELECT execution_id, digest, created_at, subscription_id FROM claims
WHERE execution_id = :execution_id OR key = :key
ORDER BY key IS :key DESC LIMIT 1;

-- name: use_claim
-- Asked for again: kept that much longer.
UPDATE claims SET used_at = max(used_at, :now) WHERE execution_id = :execution_id;

-- name: place_claim
-- Compare and set: of two who saw the execution at the same place, one moves it.
UPDATE claims SET subscription_id = :subscription_id
WHERE execution_id = :execution_id AND subscription_id IS :instead_of
RETURNING used_at;

-- name: place_session
INSERT INTO session_homes (session_id, subscription_id, used_at)
VALUES (:session_id, :subscription_id, :used_at)
ON CONFLICT (session_id) DO UPDATE SET
    subscription_id = excluded.subscription_id,
    used_at = max(excluded.used_at, used_at);

-- name: locate
SELECT execution_id, digest, created_at, subscription_id FROM claims
WHERE execution_id = :execution_id;

-- name: session_home
SELECT subscription_id FROM session_homes WHERE session_id = :session_id;

-- name: register
INSERT INTO registrations (id, created_at, document) VALUES (:id, :created_at, :document)
ON CONFLICT (id) DO UPDATE SET created_at = excluded.created_at, document = excluded.document;

-- name: unregister
DELETE FROM registrations WHERE id = :id;

-- name: registrations
SELECT document FROM registrations ORDER BY created_at, id;

-- name: expire_claims
DELETE FROM claims WHERE used_at < :before;

-- name: expire_session_homes
DELETE FROM session_homes WHERE used_at < :before;

-- name: export_claims
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT execution_id, key, digest, created_at, used_at, subscription_id FROM claims
WHERE execution_id > :after ORDER BY execution_id LIMIT :limit;

-- name: export_session_homes
SELECT session_id, subscription_id, used_at FROM session_homes
WHERE session_id > :after ORDER BY session_id LIMIT :limit;

-- name: load_registration
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO registrations (id, created_at, document) VALUES (:id, :created_at, :document);

-- name: load_claim
INSERT INTO claims (execution_id, key, digest, created_at, used_at, subscription_id)
VALUES (:execution_id, :key, :digest, :created_at, :used_at, :subscription_id);

-- name: load_session_home
INSERT INTO session_homes (session_id, subscription_id, used_at)
VALUES (:session_id, :subscription_id, :used_at);
