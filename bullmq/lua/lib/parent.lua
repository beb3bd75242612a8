-- parent: what a child's end means to the job that waits for it (a flow). The parent may be of another queue, whose keys
-- a cluster keeps in the same slot only if both prefixes have one {tag}.
--@ include enqueue

-- releaseParent puts a parent that waits for its children in its place; one that is elsewhere stays there.
local function releaseParent(Q, id)
  if call('ZREM', Q.P .. 'waiting-children', id) == 0 then
    return
  end
  local job = call('HMGET', Q.P .. id, 'priority', 'delay')
  local priority, delay = tonumber(job[1]) or 0, tonumber(job[2]) or 0
  if delay > 0 then
    pushDelayed(Q, id, now + delay)
    emit(Q, 'delayed', id, 'delay', now + delay)
    wakeWhenDue(Q)
  else
    push(Q, id, priority, true)
    wake(Q)
    emit(Q, 'waiting', id, 'prev', 'waiting-children')
  end
end

local function releaseParentIfLast(Q, id)
  if call('SCARD', Q.P .. id .. ':dependencies') == 0 then
    releaseParent(Q, id)
  end
end

-- parentOf reads the `parent` field of a child: its queue and id, and what the child's failure is to it. Nothing comes of
-- a field that cannot be read or of a parent that is gone.
local function parentOf(json)
  local ok, parent = pcall(cjson.decode, json)
  if not ok or type(parent) ~= 'table' or type(parent.queueKey) ~= 'string' or parent.id == nil then
    return
  end
  local id = tostring(parent.id)
  if call('EXISTS', parent.queueKey .. ':' .. id) == 1 then
    return open(parent.queueKey .. ':'), id, parent
  end
end

-- childCompleted gives a child's value to its parent and releases that after its last child.
local function childCompleted(json, childKey, value)
  local Q, id = parentOf(json)
  if Q and call('SREM', Q.P .. id .. ':dependencies', childKey) == 1 then
    call('HSET', Q.P .. id .. ':processed', childKey, value)
    releaseParentIfLast(Q, id)
  end
end

-- childFailed tells a parent of a child that failed for good, as the child's options want it:
--   fpof  the parent fails too: it starts at once, and whoever gets it fails it by its field defa
--   cpof  the parent goes on at once
--   idof  the failure is kept with the parent, which goes on after the others
--   rdof  the parent forgets the child
--   none  the parent waits until the child is retried
local function childFailed(json, childKey, reason)
  local Q, id, on = parentOf(json)
  if not Q or not (on.fpof or on.cpof or on.idof or on.rdof) then
    return
  end
  local J = Q.P .. id
  if call('SREM', J .. ':dependencies', childKey) == 0 then
    return
  end
  if on.fpof then
    call('ZADD', J .. ':unsuccessful', now, childKey)
    call('HSET', J, 'defa', 'child ' .. childKey .. ' failed')
    local prev = call('ZREM', Q.P .. 'waiting-children', id) == 1 and 'waiting-children'
      or call('ZREM', Q.P .. 'delayed', id) == 1 and 'delayed'
    if prev then
      call('HSET', J, 'delay', '0')
      push(Q, id, tonumber(call('HGET', J, 'priority')) or 0, true)
      wake(Q)
      emit(Q, 'waiting', id, 'prev', prev)
    end
    return
  end
  if on.cpof or on.idof then
    call('HSET', J .. ':failed', childKey, reason)
  end
  if on.cpof then
    releaseParent(Q, id)
  else
    releaseParentIfLast(Q, id)
  end
end

-- childRemoved tells a parent of a child that is gone.
local function childRemoved(json, childKey)
  local Q, id = parentOf(json)
  if Q and call('SREM', Q.P .. id .. ':dependencies', childKey) == 1 then
    releaseParentIfLast(Q, id)
  end
end
