-- priority: another priority for a job.
--
-- KEYS[1]  prefix
-- ARGV     now; id; priority; '1' to be the first of that priority
-- Effects  field priority; a job of the line gets the place that is due to it. No event.
-- Reply    1; -1 there is no such job
--@ include enqueue

local Q, id, priority, first = open(KEYS[1]), ARGV[2], tonumber(ARGV[3]), ARGV[4] == '1'
if call('EXISTS', Q.P .. id) == 0 then
  return -1
end
call('HSET', Q.P .. id, 'priority', priority)
if call('ZREM', Q.P .. 'prioritized', id) + call('LREM', Q.P .. 'wait', -1, id) + call('LREM', Q.P .. 'paused', -1, id) == 0 then
  return 1
end
if priority > 0 then
  pushPrioritized(Q, id, priority, first)
else
  push(Q, id, 0, first)
end
if not (first and priority > 0) then
  wake(Q)
end
return 1
