-- Sessions that move. After a move the transcript still is at fetch_from, until it is fetched.
ALTER TABLE session_homes ADD COLUMN fetch_from text;

-- Transcripts that were brought from one subscription to another.
CREATE TABLE session_moves (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id text COLLATE "C" NOT NULL,
    moved_at bigint NOT NULL,
    from_subscription_id text NOT NULL,
    to_subscription_id text NOT NULL
);
CREATE INDEX session_moves_by_session ON session_moves (session_id, moved_at);
