-- Whom an execution, its usage and a session belong to, and by which models an execution is found:
-- the one that was asked for, and the one that answered. Before there were tenants, each key was one
-- by itself; of sessions that began before it is unknown until their next turn. What cannot be read
-- belongs to nobody.
CREATE FUNCTION pg_temp.said(document text, VARIADIC path text[]) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
    RETURN document::json #>> path;
EXCEPTION WHEN data_exception THEN
    RETURN NULL;
END
$$;
ALTER TABLE executions
    ADD COLUMN tenant text COLLATE "C", ADD COLUMN model text, ADD COLUMN ran_as text;
UPDATE executions SET
    tenant = nullif(pg_temp.said(document, 'intent', 'caller'), ''),
    model = replace(pg_temp.said(document, 'intent', 'model'), '[1m]', ''),
    ran_as = replace(pg_temp.said(document, 'outcome', 'model'), '[1m]', '');
CREATE INDEX executions_by_tenant ON executions (subscription_id, tenant, created_at, id)
WHERE tenant IS NOT NULL;
ALTER TABLE usage_records ADD COLUMN tenant text COLLATE "C";
UPDATE usage_records SET tenant = pg_temp.said(document, 'caller');
CREATE INDEX usage_records_by_tenant ON usage_records (subscription_id, tenant, timestamp, id)
WHERE tenant IS NOT NULL;
ALTER TABLE session_homes ADD COLUMN tenant text COLLATE "C";
CREATE INDEX session_homes_by_tenant ON session_homes (tenant, used_at, session_id)
WHERE tenant IS NOT NULL;
DROP FUNCTION pg_temp.said(text, text[]);
