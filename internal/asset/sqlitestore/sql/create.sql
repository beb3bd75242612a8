-- Adds an asset, unless its id is in use.
--
-- ?1 to ?14: the columns in the order in which package sqlitestore encodes an asset

INSERT INTO assets
  (id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending,
   duplicate_of)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
ON CONFLICT (id) DO NOTHING
