-- Lists notes on pictures, the oldest first.
--
-- ?1 at, only earlier ones  ?2 how many
-- Returns key, asset_id, at.

SELECT key, asset_id, at
FROM image_notes
WHERE at < ?1
ORDER BY at
LIMIT ?2
