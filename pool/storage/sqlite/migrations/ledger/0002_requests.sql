-- What an execution was asked: prompt and images, megabytes, written once. It has a table of its own
-- since SQLite writes a row anew, all of it, when any column of it changes (measured: 7 MB into the
-- log for the end of an execution with a 5 MB image, 8 KB so). Documents that were kept before this
-- hold their request themselves.
CREATE TABLE requests (
    id TEXT PRIMARY KEY,
    request TEXT NOT NULL
) STRICT;
CREATE TRIGGER remove_request AFTER DELETE ON executions BEGIN
    DELETE FROM requests WHERE id = old.id;
END;
