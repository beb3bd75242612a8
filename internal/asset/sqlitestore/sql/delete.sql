-- Removes an owner's asset; its timeline goes with it.
--
-- ?1 id  ?2 owner
-- Returns the columns as package sqlitestore decodes them.

DELETE FROM assets
WHERE id = ?1 AND owner = ?2
RETURNING id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending, duplicate_of
