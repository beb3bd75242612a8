-- Renews the lease of all jobs that a worker has.
--
-- ?1 worker
-- Returns the hand-outs that it really has.

UPDATE jobs SET beat = beat + 1
WHERE state = 'active' AND worker = ?1
RETURNING seq, starts
