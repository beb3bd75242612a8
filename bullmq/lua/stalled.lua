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

local function recover(id)
  local J = P .. id
  if call('EXISTS', J .. ':lock') == 1 or call('LREM', active, '1', id) == 0 then
    return
  end
  local job = call('HMGET', J, 'name', 'stc', 'rjk')
  if not job[1] then
    return
  end
  local stalls = (tonumber(job[2]) or 0) + 1
  call('HSET', J, 'stc', stalls)
  if stalls > tonumber(ARGV[3]) and not scheduled(job[3]) then
    call('HSET', J, 'defa', 'job stalled more than allowable limit')
  end
  call('RPUSH', waitList(Q), id)
  emit(Q, 'waiting', id, 'prev', 'active')
  emit(Q, 'stalled', id)
  recovered[#recovered + 1] = id
end

for _, id in ipairs(call('SMEMBERS', P .. 'stalled')) do
  pcall(recover, id) -- one whose keys are damaged has left `active` and holds nobody up
end
if #recovered > 0 then
  wake(Q)
end
call('DEL', P .. 'stalled')
for from = 0, call('LLEN', active) - 1, chunk do
  call('SADD', P .. 'stalled', unpack(call('LRANGE', active, from, from + chunk - 1)))
end
return recovered
