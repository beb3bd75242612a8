-- delay: another delay for a delayed job.
--
-- KEYS[1]  prefix
-- ARGV     now; id; delay in ms from now
-- Effects  its place and its field delay; event `delayed`
-- Reply    1; -1 there is no such job; -3 it is not delayed
--@ include enqueue

local Q, id, delay = open(KEYS[1]), ARGV[2], tonumber(ARGV[3])
if call('EXISTS', Q.P .. id) == 0 then
  return -1
end
if call('ZREM', Q.P .. 'delayed', id) == 0 then
  return -3
end
pushDelayed(Q, id, now + delay)
call('HSET', Q.P .. id, 'delay', delay)
emit(Q, 'delayed', id, 'delay', now + delay)
wakeWhenDue(Q)
return 1
