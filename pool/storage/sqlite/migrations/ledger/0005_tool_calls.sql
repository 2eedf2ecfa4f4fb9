-- Which execution made which call of its caller's tools, by the provider's id of the call.
CREATE TABLE tool_calls (
    id TEXT NOT NULL,
    execution_id TEXT NOT NULL,
    PRIMARY KEY (id, execution_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX tool_calls_by_execution ON tool_calls (execution_id);
CREATE TRIGGER remove_tool_calls AFTER DELETE ON executions BEGIN
    DELETE FROM tool_calls WHERE execution_id = old.id;
END;
