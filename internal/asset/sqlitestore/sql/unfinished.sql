-- Lists assets that still owe something, by id. The first condition is, word for word, that of index assets_unfinished.
--
-- ?1 updated_at, no later ones  ?2 id of the last one seen  ?3 how many
-- Returns the columns as package sqlitestore decodes them.

SELECT id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending, duplicate_of
FROM assets
WHERE (status IN ('draft', 'processing') OR event_pending) AND updated_at <= ?1 AND id > ?2
ORDER BY id
LIMIT ?3
