-- schedule_remove: a job scheduler goes.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler
-- Effects  The scheduler is gone, and so is the job of its next run, if it has not started: event `removed`.
-- Reply    1; 0 there is no such scheduler
--@ include pending
--@ include remove

local P, scheduler = KEYS[1], ARGV[2]
local score = call('ZSCORE', P .. 'repeat', scheduler)
local known = call('DEL', P .. 'repeat:' .. scheduler)
if not score then
  return known
end
local Q, id = open(P), 'repeat:' .. scheduler .. ':' .. score
call('ZREM', P .. 'repeat', scheduler)
local place = takePending(Q, id)
if place then
  forget(Q, id)
  emit(Q, 'removed', id, 'prev', place)
end
return 1
