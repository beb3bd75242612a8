-- Lists an owner's assets with the same original after some place, newest first.
--
-- ?1 owner  ?2 created_at  ?3 id: of the last one seen
-- ?4 status, '' for all  ?5 category, '' for all  ?6 updated_at, only later ones  ?7 how many
-- ?8 hex of the original's SHA-256, as the index assets_of_photo has it
-- Returns the columns as package sqlitestore decodes them.

SELECT id, owner, category, status, original, processed, analysis, details, job_id, run, created_at, updated_at, event_pending, duplicate_of
FROM assets
WHERE owner = ?1 AND original ->> '$.sha256' = ?8 AND (created_at, id) < (?2, ?3)
  AND (?4 = '' OR status = ?4) AND (?5 = '' OR category = ?5) AND updated_at > ?6
ORDER BY created_at DESC, id DESC
LIMIT ?7
