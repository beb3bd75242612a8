-- Lists the jobs that workers have.
--
-- ?1 how many at most

SELECT worker, id, data, attempts, processed_at
FROM jobs
WHERE state = 'active'
LIMIT ?1
