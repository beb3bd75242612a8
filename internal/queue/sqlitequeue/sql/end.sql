-- Ends one hand-out of a job. It changes nothing if the job has been given to somebody else in the meantime.
--
-- ?1 seq  ?2 worker  ?3 starts: the hand-out
-- ?4 state that the job goes to  ?5 its at  ?6 attempts spent  ?7 errors, NULL to leave them as they are

UPDATE jobs
SET state = ?4, at = ?5, attempts = attempts + ?6, errors = coalesce(?7, errors), worker = ''
WHERE seq = ?1 AND state = 'active' AND worker = ?2 AND starts = ?3
