-- Whether what was asked and answered is still kept of an execution. It is removed some time after its
-- end, while the rest of the row stays.
ALTER TABLE executions ADD COLUMN has_content boolean NOT NULL DEFAULT true;
CREATE INDEX executions_with_content ON executions (subscription_id, ended_at)
WHERE has_content AND ended_at IS NOT NULL;
