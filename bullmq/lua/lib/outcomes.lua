-- outcomes: the part of finish that most of its calls do not need, as a table of functions.
--@ include promote
--@ include parent
--@ include dedup

-- tell does what concerns other jobs, whose keys may be damaged or out of reach. It does not undo the outcome.
local function tell(what, ...)
  return pcall(what, ...) and 0 or 1
end

-- finished ends a job for good, and returns its code.
local function finished(state, field, id, flags, text, traces, atm, rule)
  local J, code = P .. id, 0
  if flags.d then
    code = tell(freeDedup, Q, call('HGET', J, 'deid'), id)
  end
  if flags.p then
    local parent = call('HGET', J, 'parent') or ''
    code = math.max(code, tell(state == 'completed' and childCompleted or childFailed, parent, J, text))
    if rule == 'none' then
      code = math.max(code, tell(childRemoved, parent, J))
    end
  end
  endings[state] = endings[state] + 1
  if rule == 'none' then
    deleteJob(Q, id)
  else
    call('HSET', J, 'atm', atm, field, text, 'finishedOn', ARGV[1])
    if state == 'failed' then
      call('HSET', J, 'stacktrace', traces)
      call('HDEL', J, 'defa')
    end
    keep(state, rule, id)
  end
  emit(Q, state, id, field, text, 'prev', 'active')
  if flags.e then
    emit(Q, 'retries-exhausted', id, 'attemptsMade', atm)
  end
  return code
end

local function delayFor(id, ms)
  pushDelayed(Q, id, now + ms)
  emit(Q, 'delayed', id, 'delay', now + ms)
  delayed = true
  return 0
end

local function giveBack(id)
  local priority = tonumber(call('HGET', P .. id, 'priority')) or 0
  if priority > 0 then
    pushPrioritized(Q, id, priority, true)
  else
    call('RPUSH', waitList(Q), id)
  end
  emit(Q, 'waiting', id, 'prev', 'active')
  return 0
end

-- What becomes of a job that has left `active`, by the kind of its outcome.
local ends = {
  completed = function(...)
    return finished('completed', 'returnvalue', ...)
  end,
  failed = function(...)
    return finished('failed', 'failedReason', ...)
  end,
  retry = function(id, flags, text, traces, atm, _, ms)
    local J = P .. id
    call('HSET', J, 'failedReason', text, 'stacktrace', traces, 'atm', atm)
    if tonumber(ms) > 0 then
      call('HSET', J, 'delay', ms)
      return delayFor(id, tonumber(ms))
    end
    promoteDue(Q)
    push(Q, id, tonumber(call('HGET', J, 'priority')) or 0, flags.l)
    emit(Q, 'waiting', id, 'prev', 'active')
    return 0
  end,
  postpone = function(id, _, _, _, _, _, ms)
    call('HSET', P .. id, 'delay', ms)
    return delayFor(id, tonumber(ms))
  end,
  ['return'] = giveBack,
  limit = function(id, _, _, _, _, _, ms)
    if #(call('GET', limiter) or '') < 16 or call('PTTL', limiter) < tonumber(ms) then -- a longer one set by hand stays
      call('SET', limiter, '9007199254740991', 'PX', ms)
    end
    limited = true
    return giveBack(id)
  end,
}

-- settle stores the outcome of a job that has left `active`, and returns its code.
local function settleRare(kind, id, letters, text, traces, ms, atm, rule)
  local flags = {}
  for letter in string.gmatch(letters, '.') do
    flags[letter] = true
  end
  if flags.x then
    call('HDEL', P .. id, 'cxl')
  end
  return ends[kind](id, flags, text, traces, atm, rule, ms)
end

-- wasDone tells whether the call that this one repeats has written the outcome of a job that we no longer hold. Of an
-- outcome that leaves no trace it is assumed: there is nothing left to do in either case.
local function wasDone(kind, id, atm, rule)
  local job = call('HMGET', P .. id, 'finishedOn', 'atm', 'name')
  if kind == 'completed' or kind == 'failed' then
    return job[1] == ARGV[1] or (not job[3] and rule ~= 'all')
  end
  return kind ~= 'retry' or (tonumber(job[2]) or 0) >= tonumber(atm)
end

-- meter counts n jobs that ended in this state. The count of a minute is listed when the first job of a later one ends.
local function meter(state, n, points)
  local key = P .. 'metrics:' .. state
  local was = call('HMGET', key, 'count', 'prevTS', 'prevCount')
  local count, since, listed = tonumber(was[1]) or 0, tonumber(was[2]), tonumber(was[3]) or 0
  call('HINCRBY', key, 'count', n)
  if not since then
    call('HSET', key, 'prevTS', now, 'prevCount', 0)
    return
  end
  local minutes = math.min(math.floor(now / 60000) - math.floor(since / 60000), points)
  if minutes > 0 then
    call('LPUSH', key .. ':data', count - listed)
    for _ = 2, minutes do
      call('LPUSH', key .. ':data', 0)
    end
    call('LTRIM', key .. ':data', 0, points - 1)
    call('HSET', key, 'prevTS', now, 'prevCount', count)
  end
end

-- takeAgain adds the jobs that a call before this one took with tokens from first on.
local function takeAgain(jobs, first)
  local prefix, chunk = ARGV[5], 500
  for from = 0, call('LLEN', active) - 1, chunk do
    local ids, keys = call('LRANGE', active, from, from + chunk - 1), {}
    for i, id in ipairs(ids) do
      keys[i] = P .. id .. ':lock'
    end
    for i, token in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
      local n = token and string.sub(token, 1, #prefix) == prefix and tonumber(string.sub(token, #prefix + 1))
      local job = n and n >= first and n < first + want and read(ids[i])
      if job then
        give(jobs, job, ids[i], token)
      end
    end
  end
end

local outcomes = { settle = settleRare, wasDone = wasDone, meter = meter, takeAgain = takeAgain, promoteDue = promoteDue }
