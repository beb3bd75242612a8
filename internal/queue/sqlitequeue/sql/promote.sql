-- Puts delayed jobs that are due back to their places in the line.
--
-- ?1 now  ?2 the latest time that a delay could have been set to: a job beyond it is due since the clock was set back

UPDATE jobs SET state = 'waiting', at = 0
WHERE state = 'delayed' AND (at <= ?1 OR at > ?2)
