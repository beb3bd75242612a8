-- remove: a job, in whatever state, that no worker holds.
--
-- KEYS[1]  prefix
-- ARGV     now; id; '1' to remove its children, with theirs
-- Effects  The job's keys, its place and its deduplication are gone; event `removed`. A parent that waited for nothing
--          else is released.
-- Reply    1; 0 it, or a descendant that has not ended, is locked: nothing is removed; -1 there is no such job;
--          -8 it is the next run of a scheduler
--@ include remove

local Q, id, withChildren = open(KEYS[1]), ARGV[2], ARGV[3] == '1'

-- placeOf splits the key of a job into its queue and its id, which may hold two colons. Nothing comes of a key of no queue.
local function placeOf(key)
  for _, pattern in ipairs({ '^(.*:)([^:]+)$', '^(.*:)([^:]*:[^:]*:[^:]+)$' }) do
    local P, jobID = string.match(key, pattern)
    if P and call('EXISTS', P .. 'id') == 1 then
      return open(P), jobID
    end
  end
end

local function locked(J)
  if call('EXISTS', J .. ':lock') == 1 then
    return true
  end
  if withChildren then
    for _, child in ipairs(call('SMEMBERS', J .. ':dependencies')) do
      if locked(child) then
        return true
      end
    end
  end
  return false
end

local function remove(queue, jobID)
  local J = queue.P .. jobID
  if withChildren then
    local children = {
      call('SMEMBERS', J .. ':dependencies'), call('HKEYS', J .. ':processed'),
      call('HKEYS', J .. ':failed'), call('ZRANGE', J .. ':unsuccessful', 0, -1),
    }
    call('DEL', J .. ':dependencies') -- so that their end releases nothing
    for _, keys in ipairs(children) do
      for _, key in ipairs(keys) do
        local theirs, child = placeOf(key)
        if theirs and call('EXISTS', key) == 1 then
          remove(theirs, child)
        end
      end
    end
  end
  local prev = takeOut(queue, jobID)
  forget(queue, jobID)
  emit(queue, 'removed', jobID, 'prev', prev)
end

if call('EXISTS', Q.P .. id) == 0 then
  local prev = takeOut(Q, id)
  if prev == 'unknown' then
    return -1
  end
  emit(Q, 'removed', id, 'prev', prev)
  return 1
end
if scheduled(Q, id) then
  return -8
end
if locked(Q.P .. id) then
  return 0
end
remove(Q, id)
return 1
