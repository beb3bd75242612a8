-- Drops the oldest entries of an asset's timeline beyond its bound, finished runs excepted.
--
-- ?1 asset_id  ?2 how many entries may stay

DELETE FROM asset_events
WHERE seq IN (
  SELECT seq FROM asset_events
  WHERE asset_id = ?1 AND event <> 'finished'
  ORDER BY seq
  LIMIT max(0, (SELECT count(*) FROM asset_events WHERE asset_id = ?1) - ?2))
