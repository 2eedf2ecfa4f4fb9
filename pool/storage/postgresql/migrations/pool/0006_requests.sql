-- What an execution was asked: prompt and images, megabytes, written once. In a column of its own it
-- is left where it lies when the rest of its row is written anew. Documents that were kept before
-- this hold their request themselves; so do those of processes that are older, as long as they run.
ALTER TABLE executions ADD COLUMN request text;
