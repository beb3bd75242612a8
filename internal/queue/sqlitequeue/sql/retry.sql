-- Puts a dead letter at the end of the line, as if nothing had been tried. Its errors stay.
--
-- ?1 id  ?2 now

UPDATE jobs
SET state = 'waiting', at = 0, attempts = 0, stalls = 0, queued_at = ?2, seq = (SELECT max(seq) + 1 FROM jobs)
WHERE id = ?1 AND state = 'failed'
