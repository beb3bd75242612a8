-- Removes the note on a picture.
--
-- ?1 key

DELETE FROM image_notes
WHERE key = ?1
