-- name: is_there
SELECT to_regclass('schema_version') IS NOT NULL;

-- name: one_at_a_time
-- Held until the transaction ends: of many processes that start at once, one makes the tables.
SELECT pg_advisory_xact_lock(hashtext('claude-pool'), hashtext(current_schema()));

-- name: create
CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL);

-- name: version
SELECT coalesce(max(version), 0) FROM schema_version;

-- name: set_version
INSERT INTO schema_version (version) VALUES (:version);
