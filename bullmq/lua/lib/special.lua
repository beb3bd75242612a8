-- special: the part of add that most of its calls do not need, as a table of functions.
--@ include parent
--@ include jobkeys

-- attach makes a job that exists already a child of a parent, unless a living one has it. It gives the parent the value
-- that it completed with, or lets it wait.
local function attach(id, parentKey, parent)
  local J = P .. id
  local old = call('HGET', J, 'parentKey')
  if old and old ~= parentKey and call('EXISTS', old) == 1 then
    return false
  end
  call('HSET', J, 'parentKey', parentKey, 'parent', parent)
  call('SADD', parentKey .. ':dependencies', J)
  if call('ZSCORE', P .. 'completed', id) then
    childCompleted(parent, J, call('HGET', J, 'returnvalue') or 'null')
  end
  return true
end

-- inPlaceOf returns the id of the job that keeps this one out by its deduplication id, if one does; otherwise that id is
-- this job's now. A key whose job is gone, and which would never end, keeps nobody out.
local function inPlaceOf(job)
  local key, flags = P .. 'de:' .. job.dedup, job.dedupFlags
  local function has(flag)
    return string.find(flags, flag, 1, true)
  end
  local ttl = has('k') and 0 or job.ttl
  local function own(id)
    if ttl > 0 then
      call('SET', key, id, 'PX', ttl)
    else
      call('SET', key, id)
    end
  end

  local owner = call('GET', key)
  if not owner or (call('EXISTS', P .. owner) == 0 and call('PTTL', key) < 0) then
    own(job.id)
    return nil
  end
  local due = call('ZSCORE', P .. 'delayed', owner)
  if has('r') then
    if not due then
      return owner -- without an event: so it is in Node
    end
    local parent = call('HGET', P .. owner, 'parent')
    call('ZREM', P .. 'delayed', owner)
    deleteJob(Q, owner)
    if parent then
      childRemoved(parent, P .. owner)
    end
    emit(Q, 'removed', owner, 'prev', 'delayed')
    if has('x') then
      own(job.id)
    else
      call('SET', key, job.id, 'KEEPTTL')
    end
    emit(Q, 'deduplicated', job.id, 'deduplicationId', job.dedup, 'deduplicatedJobId', owner)
    return nil
  end
  emit(Q, 'deduplicated', owner, 'deduplicationId', job.dedup, 'deduplicatedJobId', job.id)
  if has('s') and due then
    local at = job.timestamp + job.delay
    call('ZREM', P .. 'delayed', owner)
    call('HSET', P .. owner, 'delay', job.delay)
    pushDelayed(Q, owner, at)
    emit(Q, 'delayed', owner, 'delay', at)
    delayed = true
  end
  if has('k') and call('LPOS', P .. 'active', owner) then
    call('DEL', P .. 'dn:' .. job.dedup)
    call('HSET', P .. 'dn:' .. job.dedup, 'name', job.name, 'data', job.data, 'opts', job.opts, 'jid', job.id)
    call('PERSIST', key)
  elseif has('x') and ttl > 0 then
    own(owner)
  end
  return owner
end

-- keep stores a job under an id that is free and puts it in its place. Those of the line are pushed together at the end.
local function keep(id, name, data, opts, timestamp, delay, priority, lifo, more)
  call('HSET', P .. id, 'name', name, 'data', data, 'opts', opts, 'timestamp', timestamp,
    'delay', delay > 0 and delay or '0', 'priority', priority > 0 and priority or '0', unpack(more))
  emit(Q, 'added', id, 'name', name)
  if delay > 0 then
    pushDelayed(Q, id, timestamp + delay)
    emit(Q, 'delayed', id, 'delay', timestamp + delay)
    delayed = true
    return
  end
  if priority > 0 or lifo then
    push(Q, id, priority, lifo)
    runnable = true
  else
    line[#line + 1] = id
  end
  emit(Q, 'waiting', id)
end

-- addSpecial adds a job that asks for more than its turn. It returns the id of the job in its place, or an error.
local function addSpecial(job)
  local id, more = job.id, {}
  if job.parentKey and call('EXISTS', job.parentKey) == 0 then
    return -5
  end
  if job.ownID and call('EXISTS', P .. id) == 1 then
    if job.parentKey and not attach(id, job.parentKey, job.parent) then
      return -7
    end
    emit(Q, 'duplicated', id)
    return id
  end
  if job.dedup then
    local other = inPlaceOf(job)
    if other then
      return other
    end
    more = { 'deid', job.dedup }
  end
  if job.parentKey then
    more = { 'parentKey', job.parentKey, 'parent', job.parent }
    call('SADD', job.parentKey .. ':dependencies', P .. id)
  end
  keep(id, job.name, job.data, job.opts, job.timestamp, job.delay, job.priority, job.lifo, more)
end

-- given returns the next argument if the flags announce it.
local function given(flags, flag)
  if not string.find(flags, flag, 1, true) then
    return nil
  end
  at = at + 1
  return ARGV[at - 1]
end

-- add adds the next job. It returns the id of the job in its place, or an error.
local function add(flags, name, timestamp)
  local job = { name = name, data = ARGV[at], opts = ARGV[at + 1], timestamp = timestamp }
  at = at + 2
  job.ownID = given(flags, 'i')
  job.id = job.ownID or number(index)
  job.delay = tonumber(given(flags, 'd') or 0)
  job.priority = tonumber(given(flags, 'p') or 0)
  job.lifo = string.find(flags, 'l', 1, true) ~= nil
  job.parentKey = given(flags, 'c')
  job.parent = given(flags, 'c')
  job.dedup = given(flags, 'u')
  job.ttl = tonumber(given(flags, 'u'))
  job.dedupFlags = given(flags, 'u')
  return addSpecial(job)
end

local special = { add = add }
