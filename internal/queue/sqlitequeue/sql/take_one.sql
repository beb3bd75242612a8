-- Hands out one job of the line.
--
-- ?1 worker  ?2 now  ?3 seq
-- Returns the columns of a run (see scanRun), nothing if the job is not in the line.

UPDATE jobs
SET state = 'active', starts = starts + 1, worker = ?1, processed_at = ?2
WHERE seq = ?3 AND state = 'waiting'
RETURNING seq, id, data, attempts, max_attempts, starts, stalls, created_at, errors
