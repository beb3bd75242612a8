-- unschedule: removes a job scheduler.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler
-- Effects  The scheduler is gone, and its next run, if that is delayed: event `removed`. One that is in the line still runs.
-- Reply    1; 0 there is no such scheduler
--@ include jobkeys

local P, scheduler = KEYS[1], ARGV[2]
local score = call('ZSCORE', P .. 'repeat', scheduler)
if not score then
  return call('DEL', P .. 'repeat:' .. scheduler)
end
local Q, id = open(P), 'repeat:' .. scheduler .. ':' .. score
call('ZREM', P .. 'repeat', scheduler)
call('DEL', P .. 'repeat:' .. scheduler)
if call('ZREM', P .. 'delayed', id) == 1 then
  deleteJob(Q, id)
  emit(Q, 'removed', id, 'prev', 'delayed')
end
return 1
