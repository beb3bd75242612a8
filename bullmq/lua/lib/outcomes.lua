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
  ended = ended + 1
  if rule == 'none' then
    deleteJob(Q, id)
  else
    call('HSET', J, 'atm', atm, field, text, 'finishedOn', ARGV[1])
    if state == 'failed' then
      call('HSET', J, 'stacktrace', traces)
      call('HDEL', J, 'defa')
    end
    keep(id)
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

-- pushBack puts a job one place before the first of its priority. If none is there, room is left for others before it.
local function pushBack(id, priority)
  local least = priority * 0x100000000
  local first = call('ZRANGEBYSCORE', P .. 'prioritized', least, least + 0xffffffff, 'WITHSCORES', 'LIMIT', 0, 1)
  local place = first[2] and math.max(tonumber(first[2]) - 1 - least, 0) or call('INCRBY', P .. 'pc', 100) % 0x100000000
  call('ZADD', P .. 'prioritized', least + place, id)
end

local function giveBack(id, flags)
  if flags.u then
    call('HINCRBY', P .. id, 'ats', -1)
  end
  local priority = tonumber(call('HGET', P .. id, 'priority')) or 0
  if priority > 0 then
    pushBack(id, priority)
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
  limit = function(id, flags, _, _, _, _, ms)
    if #(call('GET', limiter) or '') < 16 or call('PTTL', limiter) < tonumber(ms) then -- a longer one set by hand stays
      call('SET', limiter, '9007199254740991', 'PX', ms)
    end
    started = call('GET', limiter)
    return giveBack(id, flags)
  end,
}

-- wasDone tells whether the call that this one repeats has written the outcome of a job that we no longer hold. Of an
-- outcome that leaves no trace it is assumed: there is nothing left to do in either case.
local function wasDone(kind, id, ms, atm, rule)
  local job = call('HMGET', P .. id, 'finishedOn', 'atm', 'name')
  if kind == 'completed' or kind == 'failed' then
    return job[1] == ARGV[1] or (not job[3] and (ms ~= '' or rule ~= 'all'))
  end
  return kind ~= 'retry' or (tonumber(job[2]) or 0) >= tonumber(atm)
end

-- settle stores one outcome and returns its code. held is the token in the job's lock.
local function settle(held, kind, id, token, letters, text, traces, ms, atm, rule)
  local J, flags = P .. id, {}
  local exists = call('EXISTS', J) == 1
  if held ~= token then
    if again and wasDone(kind, id, ms, atm, rule) then
      return 0
    end
    return held and -6 or exists and -2 or -1
  end
  if exists and kind == 'completed' then
    if call('EXISTS', J .. ':dependencies') == 1 then
      return -4
    elseif call('EXISTS', J .. ':unsuccessful') == 1 then
      return -9
    end
  end
  if not leave(id, J .. ':lock') then
    return -3
  elseif not exists then
    return -1
  end
  for letter in string.gmatch(letters, '.') do
    flags[letter] = true
  end
  if flags.x then
    call('HDEL', J, 'cxl')
  end
  return ends[kind](id, flags, text, traces, atm, rule, ms)
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

-- takeAgain adds the jobs that a call before this one took, and returns their tokens as a set.
local function takeAgain(first)
  local prefix, chunk, used = ARGV[5], 500, {}
  for from = 0, call('LLEN', active) - 1, chunk do
    local ids, keys = call('LRANGE', active, from, from + chunk - 1), {}
    for i, id in ipairs(ids) do
      keys[i] = P .. id .. ':lock'
    end
    for i, token in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
      local n = token and string.sub(token, 1, #prefix) == prefix and tonumber(string.sub(token, #prefix + 1))
      local job = n and n >= first and n < first + want and read(ids[i])
      if job then
        give(job, ids[i], token)
        used[token] = true
      end
    end
  end
  return used
end

-- bound returns up to how many jobs may be given out, for how many ms the rate limit lets no more start, and that limit.
local function bound(max)
  if started and #started == 16 then
    max = 9007199254740991 -- a limit set by hand, short of this by the jobs that may start nevertheless
  end
  local most, ms = Q.paused and 0 or want - ahead, 0
  if max then
    local left = started and call('PTTL', limiter) or -2
    local count = left >= 0 and tonumber(started) or 0
    most, ms = math.min(most, max - count), count >= max and math.max(left, 1) or 0
  end
  if Q.maxActive then
    most = math.min(most, Q.maxActive - call('LLEN', active))
  end
  return math.min(want, #jobs + math.max(most, 0)), ms, max
end

-- count has the rate limit know of the jobs given out from index i on, but for those that fail without having run. It
-- returns for how many ms no more may start.
local function count(i, max)
  local starts = 0
  for n = i, #jobs do
    starts = starts + 1
    for field = 1, #jobs[n], 2 do
      if jobs[n][field] == 'defa' then
        starts = starts - 1
      end
    end
  end
  if starts == 0 then
    return 0
  end
  local total, duration = call('INCRBY', limiter, starts), tonumber(ARGV[11]) or Q.duration
  if total == starts and duration then
    call('PEXPIRE', limiter, duration)
  end
  return total >= max and math.max(call('PTTL', limiter), 1) or 0
end

local outcomes = {
  settle = settle, meter = meter, promoteDue = promoteDue, takeAgain = takeAgain, bound = bound, count = count,
}
