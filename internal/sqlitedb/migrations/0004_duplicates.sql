-- Which asset of the same owner has the same photo, for package asset/sqlitestore.
--
-- duplicate_of is the id of the latest one when the asset was created, NULL for none; that one may be gone since.

ALTER TABLE assets ADD COLUMN duplicate_of TEXT;

-- An owner's assets with one photo, newest first.
CREATE INDEX assets_of_photo ON assets (owner, original ->> '$.sha256', created_at, id);
