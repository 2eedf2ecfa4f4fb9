-- What a subscription left when it fell asleep, so that what it shows is known while its actor is
-- gone; without a document, which activation of it was the last.
CREATE TABLE snapshots (
    subscription_id TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    version INTEGER NOT NULL,
    document TEXT
) STRICT;
