-- Says whether jobs are handed out, and when the next delayed job is due (NULL if there is none).

SELECT paused, held_until, (SELECT min(at) FROM jobs WHERE state = 'delayed')
FROM queue_gate
