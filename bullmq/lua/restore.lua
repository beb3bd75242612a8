-- restore: a job as it was in another queue.
--
-- KEYS[1]  prefix
-- ARGV     now; id; state (waiting, delayed, failed); ms when a delayed job is due or a failed one ended; priority; name;
--          then further fields and values of its hash
-- Effects  The job is stored and stands in its state, a waiting one at the end of the line. Events `added` and, unless it
--          has failed, `waiting` or `delayed`.
-- Reply    1; 0 if there is a job of this id, and nothing was done
--@ include enqueue

local Q, id, state, at, priority = open(KEYS[1]), ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local J = Q.P .. id
if call('EXISTS', J) == 1 then
  return 0
end
call('HSET', J, 'name', ARGV[6], unpack(ARGV, 7))
emit(Q, 'added', id, 'name', ARGV[6])
if state == 'failed' then
  call('ZADD', Q.P .. 'failed', at, id)
elseif state == 'delayed' then
  pushDelayed(Q, id, at)
  emit(Q, 'delayed', id, 'delay', at)
  wakeWhenDue(Q)
else
  push(Q, id, priority)
  wake(Q)
  emit(Q, 'waiting', id)
end
return 1
