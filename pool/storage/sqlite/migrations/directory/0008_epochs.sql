-- For which activation of its subscription an execution was placed: any other one that does not have
-- it refuses, for it cannot know what that one has refused. 0 for those placed before this was kept.
ALTER TABLE claims ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
