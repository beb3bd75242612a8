-- Gives a job whose worker died back to its place in the line.
--
-- ?1 seq

UPDATE jobs SET state = 'waiting', stalls = stalls + 1, worker = ''
WHERE seq = ?1 AND state = 'active'
