-- Whether what was asked and answered is still kept of an execution. It is removed some time after its
-- end, while the rest of the row stays.
ALTER TABLE executions ADD COLUMN has_content INTEGER NOT NULL DEFAULT 1;
CREATE INDEX executions_with_content ON executions (ended_at)
WHERE has_content AND ended_at IS NOT NULL;
