-- Lists jobs in the order of the line, in whatever state.
--
-- ?1 id of the last one seen, '' for the first page  ?2 how many
-- Returns the columns of a record (see scanRecord), then starts, stalls and at.

SELECT id, data, state, at, attempts, max_attempts, created_at, processed_at, errors, seq, starts, stalls, at
FROM jobs
WHERE seq > coalesce((SELECT seq FROM jobs WHERE id = ?1), 0)
ORDER BY seq
LIMIT ?2
