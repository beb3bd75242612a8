-- Takes over a job whose worker died too often, to end it as a dead letter.
--
-- ?1 seq  ?2 worker
-- Returns the columns of a run (see scanRun).

UPDATE jobs SET worker = ?2
WHERE seq = ?1 AND state = 'active'
RETURNING seq, id, data, attempts, max_attempts, starts, stalls, created_at, errors
