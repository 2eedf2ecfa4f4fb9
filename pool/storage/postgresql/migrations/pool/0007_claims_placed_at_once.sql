-- A claim is made and placed in one transaction, and whoever asks again is told where it stands:
-- nobody needs to know any more which call has made it.
ALTER TABLE claims DROP COLUMN claimed_by;
