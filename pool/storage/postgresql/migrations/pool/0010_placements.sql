-- How often an execution was placed: a subscription that has refused one placement admits nothing by
-- the same one later, whoever asks. 0 for those that were placed before this was counted.
ALTER TABLE claims ADD COLUMN placement bigint NOT NULL DEFAULT 0;
