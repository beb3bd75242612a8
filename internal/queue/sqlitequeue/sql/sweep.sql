-- Removes the oldest jobs that ended long enough ago.
--
-- ?1 completed or failed  ?2 ended until  ?3 how many at most

DELETE FROM jobs
WHERE seq IN (SELECT seq FROM jobs WHERE state = ?1 AND at <= ?2 ORDER BY at LIMIT ?3)
