-- remove: jobs that go away otherwise than by finishing.
--@ include parent
--@ include jobkeys

-- scheduled tells whether a job is the next run of a scheduler that lives.
local function scheduled(Q, id)
  local scheduler, at = string.match(id, '^repeat:(.+):(%d+)$')
  if not scheduler then
    return false
  end
  local next = call('ZSCORE', Q.P .. 'repeat', scheduler)
  return next and tonumber(next) == tonumber(at)
end

-- takeOut takes an id out of the state that it is in, and names that as events do.
local function takeOut(Q, id)
  for _, set in ipairs({ 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children' }) do
    if call('ZREM', Q.P .. set, id) == 1 then
      return set
    end
  end
  for _, list in ipairs({ 'active', 'wait', 'paused' }) do
    if call('LREM', Q.P .. list, 0, id) > 0 then
      return list
    end
  end
  return 'unknown'
end

-- forget deletes what is kept of a job that is in no state any more, with its deduplication. A parent does not wait for
-- it any longer: it is released after the last of its children, but with up one of the same queue is forgotten too.
local function forget(Q, id, up)
  local job = call('HMGET', Q.P .. id, 'parent', 'deid')
  deleteJob(Q, id)
  if job[2] and call('GET', Q.P .. 'de:' .. job[2]) == id then
    call('DEL', Q.P .. 'de:' .. job[2], Q.P .. 'dn:' .. job[2])
  end
  if not job[1] then
    return
  end
  local queue, parent = parentOf(job[1])
  if not (up and queue and queue.P == Q.P) then
    childRemoved(job[1], Q.P .. id)
    return
  end
  local dependencies = Q.P .. parent .. ':dependencies'
  if call('SREM', dependencies, Q.P .. id) == 1 and call('SCARD', dependencies) == 0
    and call('ZREM', Q.P .. 'waiting-children', parent) == 1 then
    forget(Q, parent, up)
  end
end
