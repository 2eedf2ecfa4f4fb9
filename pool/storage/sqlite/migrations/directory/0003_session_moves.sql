-- Sessions that move. After a move the transcript still is at fetch_from, until it is fetched.
ALTER TABLE session_homes ADD COLUMN fetch_from TEXT;

-- Transcripts that were brought from one subscription to another.
CREATE TABLE session_moves (
    seq INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    moved_at INTEGER NOT NULL,
    from_subscription_id TEXT NOT NULL,
    to_subscription_id TEXT NOT NULL
) STRICT;
CREATE INDEX session_moves_by_session ON session_moves (session_id, moved_at);
