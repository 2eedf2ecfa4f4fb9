-- What a subscription left when it fell asleep, so that what it shows is known while its actor is
-- gone; without a document, which activation of it was the last.
CREATE TABLE snapshots (
    subscription_id text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    version bigint NOT NULL,
    document text
);
