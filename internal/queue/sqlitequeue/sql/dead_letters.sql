-- Lists the dead letters after some place, the newest failure first.
--
-- ?1 at  ?2 seq: of the last one seen
-- Returns the columns of a record (see scanRecord).

SELECT id, data, state, at, attempts, max_attempts, created_at, processed_at, errors, seq
FROM jobs
WHERE state = 'failed' AND (at, seq) < (?1, ?2)
ORDER BY at DESC, seq DESC
