-- finish: jobs that have ended, and the next ones for the slots that are free.
--
-- One call carries at most 50 outcomes and asks for at most 50 jobs. Each outcome is judged for itself: one whose lock is
-- lost changes nothing and does not touch the others.
--
-- KEYS[1] P
-- ARGV[1] now
--     [2] '1' if this call is made again because its reply was lost: what it did then counts as done, and the jobs that it
--         took then are given out once more
--     [3] '1' if the caller looks after no further job for now: what waits wakes somebody else
--     [4] time to live of a lock, ms
--     [5] [6] tokens are [5] .. n for n from [6] on
--     [7] how many jobs are wanted
--     [8] name of the worker, or ''
--     [9] [10] how many jobs may start within so many ms, or '' for no limit but the queue's
--     [11] minutes of metrics to keep, or 0
--     [12] how many outcomes follow, nine arguments each:
--         kind    completed, failed, retry (which spend an attempt), postpone, return, limit (which do not)
--         id, token
--         flags   p has a parent, d owns a deduplication id, l is LIFO, x has the field cxl, e has spent its last attempt
--         text    of completed: the value as JSON; of failed and retry: the reason
--         traces  of failed and retry: the field stacktrace
--         ms      of retry and postpone: the delay; of limit: how long no job starts
--         atm     of completed, failed and retry: attempts made, with this one
--         keep    of completed and failed: 'all', 'none', or '<count> <age s> <limit>' with 0 for no such bound
-- Effects: per outcome the event completed, failed (then retries-exhausted), delayed or waiting; drained once nothing is
--   left to do; waiting for each delayed job that is due; active for each job that starts.
-- Reply: { ms until the rate limit lets a job start or 0, ms when the next delayed job is due or 0, { code per outcome },
--   job … }. A job is the fields and values of its hash, then its id and its token.
-- Codes: 0 done; 1 done, but the parent or the successor in its deduplication could not be told; -1 no such job; -2 no
--   lock; -3 not active; -4 has unfinished children; -6 another's lock; -9 has failed children; -100 not a job's keys.
--@ include promote
--@ include parent
--@ include dedup
--@ include jobkeys

local maxGhosts = 1000  -- ids without a job that one call drops before it leaves the rest to the next
local maxEvicted = 1000 -- jobs that one call evicts for one rule of keeping; what is over goes with later calls

local P = KEYS[1]
local Q = open(P)
local again, passOn = ARGV[2] == '1', ARGV[3] == '1'
local active = P .. 'active'

local codes = {}
local locks, settled = {}, {}                 -- lock keys and ids of jobs that are no longer active
local kept = { completed = {}, failed = {} }  -- state → rule of keeping → scores and ids of jobs that have ended
local endings = { completed = 0, failed = 0 } -- how many have ended so, kept or not
local delayed = false                         -- whether one was delayed
local noFlags = {}

-- tell does what concerns other jobs, whose keys may be damaged or out of reach. It does not undo the outcome.
local function tell(what, ...)
  return pcall(what, ...) and 0 or 1
end

-- finished ends a job for good, and returns its code.
local function finished(state, id, flags, field, text, traces, atm, keep)
  local J, code = P .. id, 0
  if flags.d then
    code = tell(freeDedup, Q, call('HGET', J, 'deid'), id)
  end
  if flags.p then
    local parent = call('HGET', J, 'parent') or ''
    code = math.max(code, tell(state == 'completed' and childCompleted or childFailed, parent, J, text))
    if keep == 'none' then
      code = math.max(code, tell(childRemoved, parent, J))
    end
  end
  endings[state] = endings[state] + 1
  if keep == 'none' then
    deleteJob(Q, id)
  elseif state == 'completed' then
    call('HSET', J, 'atm', atm, 'returnvalue', text, 'finishedOn', ARGV[1])
  else
    call('HSET', J, 'atm', atm, 'failedReason', text, 'stacktrace', traces, 'finishedOn', ARGV[1])
    call('HDEL', J, 'defa')
  end
  if keep ~= 'none' then
    local list = kept[state][keep] or {}
    kept[state][keep] = list
    list[#list + 1] = ARGV[1]
    list[#list + 1] = id
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

-- What becomes of a job that has left `active`: each function returns its code.
local ends = {
  completed = function(id, flags, text, traces, ms, atm, keep)
    return finished('completed', id, flags, 'returnvalue', text, traces, atm, keep)
  end,
  failed = function(id, flags, text, traces, ms, atm, keep)
    return finished('failed', id, flags, 'failedReason', text, traces, atm, keep)
  end,
  retry = function(id, flags, text, traces, ms, atm)
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
  postpone = function(id, flags, text, traces, ms)
    call('HSET', P .. id, 'delay', ms)
    return delayFor(id, tonumber(ms))
  end,
  ['return'] = giveBack,
  limit = function(id, flags, text, traces, ms)
    call('SET', P .. 'limiter', '9007199254740991', 'PX', ms)
    return giveBack(id)
  end,
}

-- wasDone tells whether the call that this one repeats has written the outcome of a job that we no longer hold. Of an
-- outcome that leaves no trace it is assumed: there is nothing left to do in either case.
local function wasDone(kind, id, atm, keep)
  local job = call('HMGET', P .. id, 'finishedOn', 'atm', 'name')
  if kind == 'completed' or kind == 'failed' then
    return job[1] == ARGV[1] or (not job[3] and keep ~= 'all')
  end
  return kind ~= 'retry' or (tonumber(job[2]) or 0) >= tonumber(atm)
end

-- settle stores one outcome and returns its code. held is the token in the job's lock; sound, that the job exists and
-- has no children that keep it from completing.
local function settle(held, sound, kind, id, token, letters, text, traces, ms, atm, keep)
  local J = P .. id
  if held ~= token then
    if again and wasDone(kind, id, atm, keep) then
      return 0
    end
    return held and -6 or call('EXISTS', J) == 1 and -2 or -1
  end
  if not sound and kind == 'completed' and call('EXISTS', J) == 1 then
    if call('EXISTS', J .. ':dependencies') == 1 then
      return -4
    elseif call('EXISTS', J .. ':unsuccessful') == 1 then
      return -9
    end
  end
  locks[#locks + 1] = J .. ':lock'
  settled[#settled + 1] = id
  if call('LREM', active, '-1', id) == 0 then
    return -3
  end
  if not sound and call('EXISTS', J) == 0 then
    return -1
  end
  local flags = noFlags
  if letters ~= '' then
    flags = {}
    for letter in string.gmatch(letters, '.') do
      flags[letter] = true
    end
    if flags.x then
      call('HDEL', J, 'cxl')
    end
  end
  return ends[kind](id, flags, text, traces, ms, atm, keep)
end

-- evict deletes jobs of a state.
local function evict(key, ids)
  for from = 1, #ids, 500 do
    local keys, to = {}, math.min(from + 499, #ids)
    for i = from, to do
      addJobKeys(keys, Q, ids[i])
    end
    call('DEL', unpack(keys))
    call('ZREM', key, unpack(ids, from, to))
  end
end

-- keepJobs lists jobs that ended in this state, and evicts others as their rule has it for all of the state.
local function keepJobs(state, rule, list)
  local key = P .. state
  call('ZADD', key, unpack(list))
  if rule == 'all' then
    return
  end
  local count, age, limit = string.match(rule, '^(%d+) (%d+) (%d+)$')
  count, age, limit = tonumber(count), tonumber(age), tonumber(limit)
  if age > 0 then
    limit = limit > 0 and math.min(limit * #list / 2, maxEvicted) or maxEvicted
    evict(key, call('ZREVRANGEBYSCORE', key, now - age, '-inf', 'LIMIT', '0', limit))
  end
  if count > 0 then
    local over = call('ZCARD', key) - count
    if over > 0 then
      evict(key, call('ZRANGE', key, '0', math.min(over, maxEvicted) - 1))
    end
  end
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

-- endJobs stores the outcomes.
local function endJobs()
  local n = tonumber(ARGV[12])
  if n == 0 then
    return
  end
  local keys, ofJobs, ofChildren = {}, {}, {}
  for i = 1, n do
    local J = P .. ARGV[5 + 9 * i]
    keys[i], ofJobs[i] = J .. ':lock', J
    ofChildren[2 * i - 1], ofChildren[2 * i] = J .. ':dependencies', J .. ':unsuccessful'
  end
  local held = call('MGET', unpack(keys))
  local sound = call('EXISTS', unpack(ofJobs)) == n and call('EXISTS', unpack(ofChildren)) == 0
  for i = 1, n do
    local ok, code = pcall(settle, held[i], sound, unpack(ARGV, 4 + 9 * i, 12 + 9 * i))
    codes[i] = ok and code or -100
  end
  if #settled > 0 then
    call('DEL', unpack(locks))
    call('SREM', P .. 'stalled', unpack(settled))
  end
  local points = tonumber(ARGV[11])
  for state, rules in pairs(kept) do
    for rule, list in pairs(rules) do
      keepJobs(state, rule, list)
    end
    if points > 0 and endings[state] > 0 then
      meter(state, endings[state], points)
    end
  end
  if delayed then
    wakeWhenDue(Q)
  end
end

-- read returns the hash of an active job as a list. An id without a job is dropped, and nil.
local function read(id)
  local job = redis.pcall('HGETALL', P .. id)
  for i = 1, #job, 2 do
    if job[i] == 'name' then
      return job
    end
  end
  call('LREM', active, '1', id)
end

-- give adds a job to the reply.
local function give(jobs, job, id, token)
  if job then
    job[#job + 1] = id
    job[#job + 1] = token
    jobs[#jobs + 1] = job
  end
end

-- takeAgain adds the jobs that a call before this one took with its tokens, and marks those as used.
local function takeAgain(jobs, used, want)
  local first, prefix, chunk = tonumber(ARGV[6]), ARGV[5], 500
  for from = 0, call('LLEN', active) - 1, chunk do
    local ids, keys = call('LRANGE', active, from, from + chunk - 1), {}
    for i, id in ipairs(ids) do
      keys[i] = P .. id .. ':lock'
    end
    for i, token in ipairs(#ids > 0 and call('MGET', unpack(keys)) or {}) do
      local n = token and string.sub(token, 1, #prefix) == prefix and tonumber(string.sub(token, #prefix + 1))
      if n and n >= first and n < first + want then
        used[n] = true
        give(jobs, read(ids[i]), ids[i], token)
      end
    end
  end
end

-- pop moves at most n ids to `active`, in the order in which they start.
local function pop(n)
  local wait, ids = P .. 'wait', {}
  if n == 1 then
    ids[1] = call('RPOPLPUSH', wait, active) or nil
  else
    local tail = call('LRANGE', wait, -n, -1)
    for i = #tail, 1, -1 do
      ids[#ids + 1] = tail[i]
    end
    if #ids > 0 then
      call('LTRIM', wait, 0, -#ids - 1)
      call('LPUSH', active, unpack(ids))
    end
  end
  if #ids < n then
    local first = call('ZPOPMIN', P .. 'prioritized', n - #ids)
    if #first == 0 then
      call('DEL', P .. 'pc')
    end
    for i = 1, #first, 2 do
      call('LPUSH', active, first[i])
      ids[#ids + 1] = first[i]
    end
  end
  return ids
end

-- allowed returns how many jobs the rate limit lets start: nil for any number, or 0 and for how many ms. A limit that was
-- set by hand holds without a rate as well.
local function allowed(max)
  local left = call('PTTL', P .. 'limiter')
  local count = left >= 0 and tonumber(call('GET', P .. 'limiter')) or 0
  if count >= (max or 9007199254740991) then
    return 0, math.max(left, 1)
  end
  return max and max - count
end

-- start locks an active job and notes that an attempt begins. It returns whether the job is one that will fail without.
local function start(job, id, token)
  local J, starts, deferred = P .. id, '1', false
  local at = #job + 2
  for i = 1, #job, 2 do
    if job[i] == 'ats' then
      at, starts = i + 1, string.format('%d', (tonumber(job[i + 1]) or 0) + 1)
    elseif job[i] == 'defa' then
      deferred = true
    end
  end
  job[at - 1], job[at] = 'ats', starts
  call('SET', J .. ':lock', token, 'PX', ARGV[4])
  emit(Q, 'active', id, 'prev', 'waiting')
  if ARGV[8] == '' then
    call('HSET', J, 'processedOn', ARGV[1], 'ats', starts)
  else
    call('HSET', J, 'processedOn', ARGV[1], 'ats', starts, 'pb', ARGV[8])
  end
  return deferred
end

-- takeJobs adds at most want jobs. It returns for how many ms the rate limit forbids more, and whether it had to leave some
-- that may be there.
local function takeJobs(jobs, want)
  local used, starts, ghosts = {}, 0, 0
  if again then
    takeAgain(jobs, used, want)
  end
  promoteDue(Q)
  local max = Q.max or tonumber(ARGV[9])
  local most, ms = allowed(max)
  if ms or Q.paused then
    return ms or 0, true
  end
  local stop = math.min(want, #jobs + (most or want))
  if Q.maxActive then
    stop = math.min(stop, #jobs + Q.maxActive - call('LLEN', active))
  end
  local n, left = tonumber(ARGV[6]), true
  while left and #jobs < stop and ghosts < maxGhosts do
    local ids = pop(stop - #jobs)
    left = #ids > 0
    for _, id in ipairs(ids) do
      while used[n] do
        n = n + 1
      end
      local job = read(id)
      if job then
        local token = ARGV[5] .. n
        n = n + 1
        if not start(job, id, token) then
          starts = starts + 1
        end
        give(jobs, job, id, token)
      else
        ghosts = ghosts + 1
      end
    end
  end
  if not max or starts == 0 then
    return 0, left
  end
  local count = call('INCRBY', P .. 'limiter', starts)
  local duration = tonumber(ARGV[10]) or Q.duration
  if count == starts and duration then
    call('PEXPIRE', P .. 'limiter', duration)
  end
  return count >= max and math.max(call('PTTL', P .. 'limiter'), 1) or 0, left
end

endJobs()
local jobs, want = {}, tonumber(ARGV[7])
local limit, left = 0, passOn
if want > 0 then
  limit, left = takeJobs(jobs, want)
end
local due
if (left or passOn) and call('EXISTS', P .. 'wait', P .. 'prioritized') > 0 then
  if limit == 0 or passOn then
    wake(Q)
  end
else
  due = nextDue(Q)
  if due and (passOn or (want > 0 and #jobs == want)) then
    call('ZADD', P .. 'marker', due, '1') -- we may be full by then
  end
  if endings.completed + endings.failed > 0 and #jobs == 0 and (want == 0 or not (left or due))
    and call('EXISTS', P .. 'wait', active, P .. 'prioritized') == 0 then
    call('XADD', P .. 'events', 'MAXLEN', '~', Q.maxEvents, '*', 'event', 'drained')
  end
end
return { limit, due or 0, codes, unpack(jobs) }
