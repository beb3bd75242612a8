-- Lists what happened to one asset, in the order in which it was written.
--
-- ?1 asset_id  ?2 how many
-- Returns the columns of an entry (see decodeEntry).

SELECT at, event, attempt, error, duration_ms, payload
FROM asset_events
WHERE asset_id = ?1
ORDER BY seq
LIMIT ?2
