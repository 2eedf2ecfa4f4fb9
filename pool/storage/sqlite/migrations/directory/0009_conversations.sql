-- The conversation that a session holds: the digest of its turns up to its last answer, by which a
-- caller's history goes on there. It is noted for the execution that was placed in it last, and gone
-- with the next one.
ALTER TABLE session_homes ADD COLUMN conversation TEXT;
ALTER TABLE session_homes ADD COLUMN last_execution_id TEXT;
CREATE INDEX session_homes_by_conversation ON session_homes (conversation)
    WHERE conversation IS NOT NULL;
