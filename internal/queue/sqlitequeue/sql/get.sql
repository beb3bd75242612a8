-- Finds one job.
--
-- ?1 id
-- Returns the columns of a record (see scanRecord).

SELECT id, data, state, at, attempts, max_attempts, created_at, processed_at, errors, seq
FROM jobs
WHERE id = ?1
