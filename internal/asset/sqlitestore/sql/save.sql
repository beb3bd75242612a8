-- Replaces what is recorded of an asset.
--
-- ?1 to ?14: the columns in the order in which package sqlitestore encodes an asset. Its owner, its birth and what it is a
-- duplicate of never change.

UPDATE assets
SET category = ?3, status = ?4, original = ?5, processed = ?6, analysis = ?7, details = ?8, job_id = ?9, run = ?10,
  updated_at = ?12, event_pending = ?13
WHERE id = ?1
