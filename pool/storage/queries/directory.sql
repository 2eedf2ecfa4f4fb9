-- name: claim
-- The unique id and the unique key decide: whoever comes second, here or at another router, waits
-- for the first to commit and changes nothing.
INSERT INTO claims (execution_id, key, digest, created_at, used_at)
VALUES (:execution_id, :key, :digest, :now, :now)
ON CONFLICT DO NOTHING;

-- name: session_home
SELECT session_id, subscription_id, used_at, fetch_from, tenant FROM session_homes
WHERE session_id = :session_id;

-- name: session_of_conversation
-- Of several that hold the same, the one that was used last.
SELECT session_id FROM session_homes WHERE conversation = :conversation
ORDER BY used_at DESC LIMIT 1;

-- name: note_conversation
-- What was said in it since would not be in the digest: then nothing is noted.
UPDATE session_homes SET conversation = :conversation
WHERE session_id = :session_id AND last_execution_id = :execution_id;

-- name: take_conversation
-- Compare and set: of two who go on from the same history, one has the session.
UPDATE session_homes SET conversation = NULL
WHERE session_id = :session_id AND conversation = :conversation;

-- name: name_session
-- A session that lives by its new name already stays as it is.
UPDATE session_homes SET session_id = :named
WHERE session_id = :session_id AND subscription_id = :subscription_id
    AND NOT EXISTS (SELECT 1 FROM session_homes WHERE session_id = :named);

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

-- name: export_session_homes
SELECT session_id, subscription_id, used_at, fetch_from, tenant, conversation, last_execution_id
FROM session_homes
WHERE session_id > :after ORDER BY session_id LIMIT :limit;

-- name: load_registration
-- As it was elsewhere. A row that is there already is an error, here and in all that load.
INSERT INTO registrations (id, created_at, document) VALUES (:id, :created_at, :document);

-- name: load_session_home
INSERT INTO session_homes (
    session_id, subscription_id, used_at, fetch_from, tenant, conversation, last_execution_id
)
VALUES (
    :session_id, :subscription_id, :used_at, :fetch_from, :tenant, :conversation, :last_execution_id
);

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

-- name: forget_what_does_not_last
-- In a copy of SQLite's files: the ledgers in it are of other instants than the snapshots, and a
-- session may have gone on since, with a transcript that is in no copy. A copy of PostgreSQL is of
-- one instant, and keeps them.
DELETE FROM snapshots;
UPDATE session_homes SET conversation = NULL;
