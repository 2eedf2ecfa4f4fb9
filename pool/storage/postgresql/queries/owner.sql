-- name: take
-- A new activation: from here on every transaction of an earlier epoch is refused. It waits for the
-- one that an earlier owner is in, which a frozen owner cannot draw out (connections.py).
INSERT INTO owner (subscription_id, epoch, holder) VALUES (:subscription_id, 1, :holder)
ON CONFLICT (subscription_id) DO UPDATE SET
    epoch = owner.epoch + 1, seq_before = owner.seq, holder = excluded.holder
RETURNING epoch;

-- name: seat
INSERT INTO seats (subscription_id) VALUES (:subscription_id) ON CONFLICT DO NOTHING;

-- name: is_registered
-- Asked with the owner's row locked: whoever registers it later takes the rows over later, too.
SELECT 1 FROM registrations WHERE id = :subscription_id;

-- name: ledgers
SELECT subscription_id FROM seats ORDER BY subscription_id;

-- name: epoch
SELECT epoch FROM owner WHERE subscription_id = :subscription_id;

-- name: holder
SELECT holder FROM owner WHERE subscription_id = :subscription_id;

-- name: enter
-- The fence, and the first statement of every transaction that writes: it takes the row's lock, so
-- that no takeover can come between it and the commit. (A plain SELECT of the epoch let a stale
-- write through.) No row: somebody else owns the rows now.
UPDATE owner SET seq = seq + 1 WHERE subscription_id = :subscription_id AND epoch = :epoch
RETURNING seq;

-- name: fate
-- Waits until a transaction whose fate is unknown has ended, since it holds the row.
SELECT epoch, seq, seq_before FROM owner WHERE subscription_id = :subscription_id FOR UPDATE;
