-- Whom a session belongs to: unknown of those that began before, until their next turn.
ALTER TABLE session_homes ADD COLUMN tenant TEXT;
CREATE INDEX session_homes_by_tenant ON session_homes (tenant, used_at, session_id)
WHERE tenant IS NOT NULL;
