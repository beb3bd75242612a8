-- obliterate: a paused queue with all that is in it, some jobs at a time.
--
-- KEYS[1]  prefix
-- ARGV     now; '1' if jobs are removed that are active; how many jobs to remove at most
-- Effects  Jobs are gone, in the end with every key of the queue but `limiter`. Parents in other queues that waited for
--          nothing else are released. No events.
-- Reply    1 there may be more; 0 all is gone; -3 the queue is not paused; -2 jobs are active
--@ include remove

local Q, budget = open(KEYS[1]), tonumber(ARGV[3])
local P = Q.P

if not Q.paused then
  return -3
end
if ARGV[2] ~= '1' and call('LLEN', P .. 'active') > 0 then
  return -2
end

local function removeAll(ids)
  for _, id in ipairs(ids) do
    call('DEL', P .. id .. ':lock')
    forget(Q, id, true)
  end
  budget = budget - #ids
end

for _, list in ipairs({ 'active', 'wait', 'paused' }) do
  local ids = call('LRANGE', P .. list, 0, budget - 1)
  call('LTRIM', P .. list, #ids, -1)
  removeAll(ids)
  if budget <= 0 then
    return 1
  end
end
for _, set in ipairs({ 'delayed', 'prioritized', 'completed', 'failed', 'waiting-children' }) do
  local ids = call('ZRANGE', P .. set, 0, budget - 1)
  call('ZREMRANGEBYRANK', P .. set, 0, #ids - 1)
  removeAll(ids)
  if budget <= 0 then
    return 1
  end
end
for _, scheduler in ipairs(call('ZRANGE', P .. 'repeat', 0, -1)) do
  call('DEL', P .. 'repeat:' .. scheduler)
end
for _, name in ipairs({
  'repeat', 'events', 'stalled', 'stalled-check', 'id', 'pc', 'marker', 'meta',
  'metrics:completed', 'metrics:completed:data', 'metrics:failed', 'metrics:failed:data',
}) do
  call('DEL', P .. name)
end
return 0
