-- name: begin_organization
-- Seen before: it stays as it was.
INSERT INTO organizations (id, begun_at) VALUES (:id, :now) ON CONFLICT (id) DO NOTHING;

-- name: organization
SELECT begun_at FROM organizations WHERE id = :id;

-- name: keep_reconciliation
INSERT INTO reconciliations (id, organization_id, kind, starts_at, next_attempt_at, document)
VALUES (:id, :organization_id, :kind, :starts_at, :next_attempt_at, :document)
ON CONFLICT (id) DO UPDATE SET
    next_attempt_at = excluded.next_attempt_at, document = excluded.document;

-- name: reconciliation
SELECT document FROM reconciliations WHERE id = :id;

-- name: known_reconciliations
SELECT id FROM reconciliations
WHERE organization_id = :organization_id AND kind = :kind AND starts_at >= :since;

-- name: planned_reconciliations
-- Oldest bucket first: the order in which they are put together for a poll.
SELECT document FROM reconciliations
WHERE organization_id = :organization_id AND kind = :kind AND next_attempt_at <= :now
ORDER BY starts_at LIMIT :limit;

-- name: poll
SELECT polled_at FROM polls WHERE key_name = :key_name;

-- name: note_poll
INSERT INTO polls (key_name, polled_at) VALUES (:key_name, :at)
ON CONFLICT (key_name) DO UPDATE SET polled_at = excluded.polled_at;

-- name: expire_reconciliations
DELETE FROM reconciliations WHERE starts_at < :before;

-- name: reconciliations
-- A page, newest bucket first, below the time and the id. PostgreSQL wants the types of what may be
-- NULL said.
SELECT starts_at, id, document FROM reconciliations
WHERE starts_at >= :since AND (starts_at, id) < (:at, :id)
    AND (CAST(:organization_id AS text) IS NULL OR organization_id = :organization_id)
    AND (CAST(:kind AS text) IS NULL OR kind = :kind)
ORDER BY starts_at DESC, id DESC LIMIT :limit;

-- name: export_organizations
-- Everything, in the order of a key: the next rows after the last one that was read.
SELECT id, begun_at FROM organizations WHERE id > :after ORDER BY id LIMIT :limit;

-- name: export_polls
SELECT key_name, polled_at FROM polls WHERE key_name > :after ORDER BY key_name LIMIT :limit;

-- name: export_reconciliations
SELECT id, document FROM reconciliations WHERE id > :after ORDER BY id LIMIT :limit;
