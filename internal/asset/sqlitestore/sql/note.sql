-- Notes a picture, in place of an earlier note.
--
-- ?1 key  ?2 asset_id  ?3 at

INSERT INTO image_notes (key, asset_id, at)
VALUES (?1, ?2, ?3)
ON CONFLICT (key) DO UPDATE SET asset_id = excluded.asset_id, at = excluded.at
