-- schedule: a job scheduler, new or changed, with its next run.
--
-- KEYS[1]  prefix
-- ARGV     now; scheduler; when its present run was to be, ms, '' for none; when the next is to be, ms; name; data and opts
--          of that as JSON; its priority; '1' if it is LIFO; then fields and values of the scheduler
-- Effects  The present run, if it has not started, is gone. The scheduler is as given; its count of runs goes on. The counter
--          grows, and the next job is there with its events.
-- Reply    1; 0 the present run is another by now, -10 there is a job in the place of the next: nothing was done
--@ include create
--@ include jobkeys

local P, scheduler, at, next = KEYS[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local score = call('ZSCORE', P .. 'repeat', scheduler)
if tonumber(score or '') ~= tonumber(at) then
  return 0
end
local Q = open(P)
local present, id = 'repeat:' .. scheduler .. ':' .. at, 'repeat:' .. scheduler .. ':' .. ARGV[4]

-- pending returns where the present run waits, and how it is taken from there; nil if it has started.
local function pending()
  for _, set in ipairs({ 'delayed', 'prioritized' }) do
    if call('ZSCORE', P .. set, present) then
      return set, 'ZREM'
    end
  end
  for _, list in ipairs({ 'wait', 'paused' }) do
    if call('LPOS', P .. list, present) then
      return list, 'LREM'
    end
  end
end

local place, command = pending()
if call('EXISTS', P .. id) == 1 and not (place and id == present) then
  return -10
end
if command == 'ZREM' then
  call('ZREM', P .. place, present)
elseif command == 'LREM' then
  call('LREM', P .. place, '1', present)
end
if place then
  deleteJob(Q, present)
end
local key = P .. 'repeat:' .. scheduler
local count = call('HGET', key, 'ic') or '1'
call('DEL', key)
call('HSET', key, 'ic', count, unpack(ARGV, 10))
call('ZADD', P .. 'repeat', ARGV[4], scheduler)
call('INCR', P .. 'id')
create(Q, id, ARGV[5], ARGV[6], ARGV[7], now, math.max(next - now, 0), tonumber(ARGV[8]), ARGV[9] == '1', { 'rjk', scheduler })
return 1
