-- Finds one asset.
--
-- ?1 id
-- Returns the columns as package sqlitestore decodes them.

SELECT id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending, duplicate_of
FROM assets
WHERE id = ?1
