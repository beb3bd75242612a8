-- Hands out the first jobs of the line.
--
-- ?1 worker  ?2 now  ?3 how many
-- Returns the columns of a run (see scanRun), in no order.

UPDATE jobs
SET state = 'active', starts = starts + 1, worker = ?1, processed_at = ?2
WHERE seq IN (SELECT seq FROM jobs WHERE state = 'waiting' AND at = 0 ORDER BY seq LIMIT ?3)
RETURNING seq, id, data, attempts, max_attempts, starts, stalls, created_at, errors
