-- stalled: jobs whose worker is gone go back to the head of the line.
--
-- KEYS[1] P
-- ARGV[1] now, [2] interval between two checks by whatever process, ms, [3] how often a job may stall
-- Effects: of the jobs that were active at the last check, those without a lock leave `active` for the head of the line,
--   whatever their priority; their events are waiting and stalled. One that stalled too often gets the field defa, unless
--   it belongs to a scheduler that still runs: whoever starts it fails it. Then the jobs now active are noted.
-- Reply: the ids of those jobs; nothing if the last check is not long ago.
--@ include enqueue

local P = KEYS[1]
if not call('SET', P .. 'stalled-check', ARGV[1], 'PX', ARGV[2], 'NX') then
  return {}
end
local Q = open(P)
local chunk = 1000 -- ids per command
local active = P .. 'active'

-- scheduled tells whether a job is of a scheduler that is still there.
local function scheduled(scheduler)
  return scheduler and (call('ZSCORE', P .. 'repeat', scheduler) or call('EXISTS', P .. 'repeat:' .. scheduler) == 1)
end

local recovered = {}
for _, id in ipairs(call('SMEMBERS', P .. 'stalled')) do
  local J = P .. id
  if call('EXISTS', J .. ':lock') == 0 and call('LREM', active, 1, id) > 0 and call('EXISTS', J) == 1 then
    local stalls = call('HINCRBY', J, 'stc', 1)
    if stalls > tonumber(ARGV[3]) and not scheduled(call('HGET', J, 'rjk')) then
      call('HSET', J, 'defa', 'job stalled more than allowable limit')
    end
    call('RPUSH', waitList(Q), id)
    emit(Q, 'waiting', id, 'prev', 'active')
    emit(Q, 'stalled', id)
    recovered[#recovered + 1] = id
  end
end
if #recovered > 0 then
  wake(Q)
end
call('DEL', P .. 'stalled')
for from = 0, call('LLEN', active) - 1, chunk do
  call('SADD', P .. 'stalled', unpack(call('LRANGE', active, from, from + chunk - 1)))
end
return recovered
