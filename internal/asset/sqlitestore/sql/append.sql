-- Appends an entry to an asset's timeline.
--
-- ?1 asset_id  ?2 owner  ?3 at  ?4 event  ?5 attempt  ?6 error  ?7 duration_ms  ?8 payload

INSERT INTO asset_events (asset_id, owner, at, event, attempt, error, duration_ms, payload)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
