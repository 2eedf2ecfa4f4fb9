-- name: take
-- A new activation: from here on every transaction of an earlier epoch is refused.
UPDATE owner
SET epoch = epoch + 1, boot_id = :boot_id, pid = :pid, started_ticks = :started_ticks
RETURNING epoch;

-- name: epoch
-- The fence, read in every write transaction.
SELECT epoch FROM owner;
