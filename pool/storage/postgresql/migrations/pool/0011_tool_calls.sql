-- Which execution made which call of its caller's tools, by the provider's id of the call.
CREATE TABLE tool_calls (
    subscription_id text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    execution_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (subscription_id, id, execution_id),
    FOREIGN KEY (subscription_id, execution_id) REFERENCES executions (subscription_id, id)
        ON DELETE CASCADE
);
CREATE INDEX tool_calls_by_execution ON tool_calls (subscription_id, execution_id);
