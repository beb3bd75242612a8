-- Counts the jobs in each state, says whether the queue is paused, and since when the first in line waits (0: none does).

SELECT
  (SELECT count(*) FROM jobs WHERE state = 'waiting'),
  (SELECT count(*) FROM jobs WHERE state = 'active'),
  (SELECT count(*) FROM jobs WHERE state = 'completed'),
  (SELECT count(*) FROM jobs WHERE state = 'failed'),
  (SELECT count(*) FROM jobs WHERE state = 'delayed'),
  paused,
  coalesce((SELECT queued_at FROM jobs WHERE state = 'waiting' AND at = 0 ORDER BY seq LIMIT 1), 0)
FROM queue_gate
