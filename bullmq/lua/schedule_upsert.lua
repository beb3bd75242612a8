-- schedule_upsert: a job scheduler, new or changed, with its next run.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler; when its present run was to be, ms, '' for none; when the next is to be, ms; name; data and opts
--          of that as JSON; its priority; '1' if it is LIFO; then fields and values of the scheduler
-- Effects  The job of the present run, if it has not started, is gone, wherever it waited. The scheduler is as given; its
--          count of runs goes on. The counter grows, and the next job is there with its events.
-- Reply    1; 0 the present run is another by now, -10 the next is the present one, which does not wait any more, or there
--          is another job in its place: nothing was done
--@ include pending
--@ include create
--@ include remove

local P, scheduler, at, next = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local score = call('ZSCORE', P .. 'repeat', scheduler)
if score and math.floor(tonumber(score)) ~= tonumber(at) or not score and at ~= '' then
  return 0
end
local Q, key = open(P), P .. 'repeat:' .. scheduler
local present, id = 'repeat:' .. scheduler .. ':' .. at, 'repeat:' .. scheduler .. ':' .. ARGV[4]
if id ~= present and call('EXISTS', P .. id) == 1 then
  return -10
end
if score and takePending(Q, present) then
  forget(Q, present)
elseif score and id == present then
  return -10
end
local count = call('HGET', key, 'ic') or '1'
call('DEL', key)
call('HSET', key, 'ic', count, unpack(ARGV, 10))
call('ZADD', P .. 'repeat', ARGV[4], scheduler)
call('INCR', P .. 'id')
create(Q, id, ARGV[5], ARGV[6], ARGV[7], now, math.max(next - now, 0), tonumber(ARGV[8]), ARGV[9] == '1', { 'rjk', scheduler })
return 1
