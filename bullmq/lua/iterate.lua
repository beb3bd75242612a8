-- iterate: the next run of a job scheduler, made by the worker that has the present one.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler; when the present run was to be, ms; when the next is to be, ms; name; data and opts of that as
--          JSON; its priority; '1' if it is LIFO
-- Effects  None if the present run is another by now. Else the counter and the scheduler's count grow, and the next job is
--          there with its events; if there is one of its id already, event `duplicated`.
-- Reply    1; 0 nothing was done
--@ include create

local P, scheduler, next = KEYS[1], ARGV[2], tonumber(ARGV[4])
local score = call('ZSCORE', P .. 'repeat', scheduler)
if not score or tonumber(score) ~= tonumber(ARGV[3]) then
  return 0
end
local Q = open(P)
call('ZADD', P .. 'repeat', ARGV[4], scheduler)
call('HINCRBY', P .. 'repeat:' .. scheduler, 'ic', '1')
call('INCR', P .. 'id')
local id = 'repeat:' .. scheduler .. ':' .. ARGV[4]
if call('EXISTS', P .. id) == 1 then
  emit(Q, 'duplicated', id)
else
  create(Q, id, ARGV[5], ARGV[6], ARGV[7], now, math.max(next - now, 0), tonumber(ARGV[8]), ARGV[9] == '1', { 'rjk', scheduler })
end
return 1
