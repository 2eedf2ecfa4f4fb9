-- Whom an execution and its usage belong to, and by which models it is found: the one that was asked
-- for, and the one that answered. Before there were tenants, each key was one by itself. What cannot
-- be read belongs to nobody.
ALTER TABLE executions ADD COLUMN tenant TEXT;
ALTER TABLE executions ADD COLUMN model TEXT;
ALTER TABLE executions ADD COLUMN ran_as TEXT;
UPDATE executions SET
    tenant = nullif(document ->> '$.intent.caller', ''),
    model = replace(document ->> '$.intent.model', '[1m]', ''),
    ran_as = replace(document ->> '$.outcome.model', '[1m]', '')
WHERE json_valid(document);
CREATE INDEX executions_by_tenant ON executions (tenant, created_at, id) WHERE tenant IS NOT NULL;
ALTER TABLE usage_records ADD COLUMN tenant TEXT;
UPDATE usage_records SET tenant = document ->> '$.caller' WHERE json_valid(document);
CREATE INDEX usage_records_by_tenant ON usage_records (tenant, timestamp, id)
WHERE tenant IS NOT NULL;
