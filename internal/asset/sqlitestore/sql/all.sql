-- Lists assets by id, whoever owns them.
--
-- ?1 id of the last one seen, '' for the first page  ?2 how many
-- Returns the columns as package sqlitestore decodes them.

SELECT id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending, duplicate_of
FROM assets
WHERE id > ?1
ORDER BY id
LIMIT ?2
