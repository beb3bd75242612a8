-- schedule_next: the next run of a job scheduler, made by the worker that has the present one.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler; when the present run was to be, ms; when the next is to be, ms; name and data of the present;
--          opts of the next, as JSON; its priority; '1' if it is LIFO
-- Effects  None if the present run is another by now. Else the counter and the scheduler's count grow, and the next job is
--          there with its events, with the scheduler's name and data; if there is one of its id already, event
--          `duplicated`. A scheduler without data, made before BullMQ 5, has those of its present job from now on.
-- Reply    1; 0 nothing was done
--@ include create

local P, scheduler, next = KEYS[1], ARGV[2], tonumber(ARGV[4])
local score = call('ZSCORE', P .. 'repeat', scheduler)
if not score or tonumber(score) ~= tonumber(ARGV[3]) then
  return 0
end
local Q, key = open(P), P .. 'repeat:' .. scheduler
local template = call('HMGET', key, 'name', 'data')
if not template[2] and ARGV[6] ~= '{}' then
  call('HSET', key, 'data', ARGV[6])
end
call('INCR', P .. 'id')
local id = 'repeat:' .. scheduler .. ':' .. ARGV[4]
if call('EXISTS', P .. id) == 1 then
  emit(Q, 'duplicated', id)
else
  create(Q, id, template[1] or ARGV[5], template[2] or ARGV[6], ARGV[7], now, math.max(next - now, 0), tonumber(ARGV[8]),
    ARGV[9] == '1', { 'rjk', scheduler })
end
redis.pcall('HINCRBY', key, 'ic', '1') -- a count that is none must not end the schedule
call('ZADD', P .. 'repeat', ARGV[4], scheduler)
return 1
