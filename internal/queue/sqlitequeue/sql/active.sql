-- Lists the jobs that somebody works on, or did when he died.

SELECT seq, id, starts, worker, beat, stalls
FROM jobs
WHERE state = 'active'
