-- Lists the finished runs of all assets of an owner after some time, oldest first.
--
-- ?1 owner  ?2 at  ?3 how many
-- Returns the columns of an entry (see decodeEntry).

SELECT at, event, attempt, error, duration_ms, payload
FROM asset_events
WHERE event = 'finished' AND owner = ?1 AND at > ?2
ORDER BY at, seq
LIMIT ?3
