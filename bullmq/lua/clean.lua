-- clean: old jobs of one list or sorted set, some at a time, the oldest first.
--
-- KEYS[1]  prefix
-- ARGV     now; name of the list or set; newest time in ms of what goes, or '' for all; how many to leave out that were
--          looked at before and kept; how many to look at; most to remove
-- Effects  Those jobs are gone, but for the next runs of schedulers and what is active under a lock. Parents that waited
--          for nothing else are gone too, if they are of this queue, else released.
-- Reply    length before; how many were looked at and kept; ids of the removed
--@ include remove

local Q, name, newest = open(KEYS[1]), ARGV[2], tonumber(ARGV[3])
local skip, look, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local key = Q.P .. name
local isList = name == 'wait' or name == 'paused' or name == 'active'
local finished = name == 'completed' or name == 'failed'

-- Where the time of a job is found.
local times = { delayed = { 'processedOn', 'timestamp' }, prioritized = { 'timestamp' } }

local function isOld(id)
  if not newest or finished then
    return true
  end
  local fields = call('HMGET', Q.P .. id, unpack(times[name] or { 'finishedOn', 'processedOn', 'timestamp' }))
  for _, time in ipairs(fields) do
    if time then
      return (tonumber(time) or 0) <= newest
    end
  end
  return true -- there is no such job
end

local ids = {}
if isList then
  local fromHead = call('LRANGE', key, -skip - look, -skip - 1)
  for i = #fromHead, 1, -1 do
    ids[#ids + 1] = fromHead[i]
  end
elseif finished then
  ids = call('ZRANGEBYSCORE', key, '-inf', newest or '+inf', 'LIMIT', skip, look)
else
  ids = call('ZRANGE', key, skip, skip + look - 1)
end

local reply = { call(isList and 'LLEN' or 'ZCARD', key), 0 }
for _, id in ipairs(ids) do
  if #reply - 2 == most then
    break
  end
  if not isOld(id) or scheduled(Q, id) or (name == 'active' and call('EXISTS', Q.P .. id .. ':lock') == 1) then
    reply[2] = reply[2] + 1
  else
    call(isList and 'LREM' or 'ZREM', key, unpack(isList and { -1, id } or { id }))
    forget(Q, id, true)
    reply[#reply + 1] = id
  end
end
return reply
