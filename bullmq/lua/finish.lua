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
--         keep    of completed and failed: 'all', 'none', or '<count> <age ms> <limit>' with 0 for no such bound
-- Effects: per outcome the event completed, failed (then retries-exhausted), delayed or waiting; drained once nothing is
--   left to do; waiting for each delayed job that is due; active for each job that starts.
-- Reply: { ms until the rate limit lets a job start or 0, ms when the next delayed job is due or 0, { code per outcome },
--   job … }. A job is the fields and values of its hash, then its id and its token.
-- Codes: 0 done; 1 done, but the parent or the successor in its deduplication could not be told; -1 no such job; -2 no
--   lock; -3 not active; -4 has unfinished children; -6 another's lock; -9 has failed children; -100 not a job's keys.
--@ include base
--@ include jobkeys

local maxGhosts = 1000  -- ids without a job that one call drops before it leaves the rest to the next
local maxEvicted = 1000 -- jobs that one call evicts for one rule of keeping; what is over goes with later calls

local P = KEYS[1]
local Q = open(P)
local again, passOn, want = ARGV[2] == '1', ARGV[3] == '1', tonumber(ARGV[7])
local active, wait, prioritized, limiter = P .. 'active', P .. 'wait', P .. 'prioritized', P .. 'limiter'

local codes = {}
local locks, settled = {}, {}                 -- keys of locks, and ids, of jobs that are no longer active
local kept = { completed = {}, failed = {} }  -- state → rule of keeping → scores and ids of jobs that have ended
local endings = { completed = 0, failed = 0 } -- how many have ended so, kept or not
local delayed, limited = false, false         -- whether an outcome has delayed a job, or set the rate limit

-- keep lists a job that has ended; keepJobs then does what the rule says.
local function keep(state, rule, id)
  local list = kept[state][rule]
  if not list then
    list = {}
    kept[state][rule] = list
  end
  list[#list + 1] = ARGV[1]
  list[#list + 1] = id
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
  local n = #job
  job[n + 1], job[n + 2] = id, token
  jobs[#jobs + 1] = job
end

-- rarely returns functions that few calls need. Making functions takes a good part of a short script's time.
local functions
local function rarely()
  if not functions then
    --@ include outcomes
    functions = outcomes
  end
  return functions
end

-- settle stores one outcome and returns its code. held is the token in the job's lock; sound, that the job exists and
-- has no children that keep it from completing.
local function settle(held, sound, kind, id, token, flags, text, traces, ms, atm, rule)
  local J = P .. id
  if held ~= token then
    if again and rarely().wasDone(kind, id, atm, rule) then
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
  if kind ~= 'completed' or rule == 'none' or flags ~= '' then
    return rarely().settle(kind, id, flags, text, traces, ms, atm, rule)
  end
  call('HSET', J, 'atm', atm, 'returnvalue', text, 'finishedOn', ARGV[1])
  keep('completed', rule, id)
  endings.completed = endings.completed + 1
  emit(Q, 'completed', id, 'returnvalue', text, 'prev', 'active')
  return 0
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
    local oldest = call('ZRANGE', key, '0', '0', 'WITHSCORES')
    if tonumber(oldest[2]) <= now - age then
      limit = limit > 0 and math.min(limit * #list / 2, maxEvicted) or maxEvicted
      evict(key, call('ZREVRANGEBYSCORE', key, now - age, '-inf', 'LIMIT', '0', limit))
    end
  end
  if count > 0 then
    local over = call('ZCARD', key) - count
    if over > 0 then
      evict(key, call('ZRANGE', key, '0', string.format('%d', math.min(over, maxEvicted) - 1)))
    end
  end
end

-- endJobs stores the outcomes, and returns the count of the rate limit.
local function endJobs()
  local n = tonumber(ARGV[12])
  if n == 0 then
    return call('GET', limiter)
  end
  local keys, jobs, children = {}, {}, {}
  for i = 1, n do
    local J = P .. ARGV[5 + 9 * i]
    keys[i], jobs[i] = J .. ':lock', J
    children[2 * i - 1], children[2 * i] = J .. ':dependencies', J .. ':unsuccessful'
  end
  keys[n + 1] = limiter
  local held = call('MGET', unpack(keys))
  local sound = call('EXISTS', unpack(jobs)) == n and call('EXISTS', unpack(children)) == 0
  for i = 1, n do
    local ok, code = pcall(settle, held[i], sound, unpack(ARGV, 4 + 9 * i, 12 + 9 * i))
    codes[i] = ok and code or -100
  end
  if #locks > 0 then
    call('DEL', unpack(locks))
    call('SREM', P .. 'stalled', unpack(settled))
  end
  for state, rules in pairs(kept) do
    for rule, list in pairs(rules) do
      keepJobs(state, rule, list)
    end
    if ARGV[11] ~= '0' and endings[state] > 0 then
      rarely().meter(state, endings[state], tonumber(ARGV[11]))
    end
  end
  if delayed then
    wakeWhenDue(Q)
  end
  return limited and call('GET', limiter) or held[n + 1]
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

-- pop moves at most n ids to `active`, in the order in which they start.
local function pop(n)
  local ids = {}
  if n == 1 then
    ids[1] = call('RPOPLPUSH', wait, active) or nil
  else
    local tail = call('LRANGE', wait, string.format('%d', -n), '-1')
    for i = #tail, 1, -1 do
      ids[#ids + 1] = tail[i]
    end
    if #ids > 0 then
      call('LTRIM', wait, '0', string.format('%d', -#ids - 1))
      call('LPUSH', active, unpack(ids))
    end
  end
  if #ids < n then
    local first = call('ZPOPMIN', prioritized, n - #ids)
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

-- allowed returns how many jobs the rate limit lets start: nil for any number, or 0 and for how many ms.
local function allowed(count, max)
  local left = count and call('PTTL', limiter) or -2
  count = left >= 0 and tonumber(count) or 0
  if max and count >= max then
    return 0, math.max(left, 1)
  end
  return max and max - count
end

-- takeJobs adds at most want jobs. It returns for how many ms the rate limit forbids more, and whether it had to leave some
-- that may be there.
local function takeJobs(jobs, count)
  local max = Q.max or tonumber(ARGV[9])
  if count and #count == 16 then
    max = 9007199254740991 -- a limit set by hand, short of this by the jobs that may start nevertheless
  end
  local most, ms = allowed(count, max)
  if ms or Q.paused then
    return ms or 0, true
  end
  local stop = math.min(want, #jobs + (most or want))
  if Q.maxActive then
    stop = math.min(stop, #jobs + Q.maxActive - call('LLEN', active))
  end
  local used = {}
  for _, job in ipairs(jobs) do
    used[job[#job]] = true
  end
  local n, starts, ghosts, left = tonumber(ARGV[6]), 0, 0, true
  while left and #jobs < stop and ghosts < maxGhosts do
    local ids = pop(stop - #jobs)
    left = #ids > 0
    for _, id in ipairs(ids) do
      local job = read(id)
      if job then
        local token = ARGV[5] .. n
        while used[token] do
          n = n + 1
          token = ARGV[5] .. n
        end
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
  count = call('INCRBY', limiter, starts)
  local duration = tonumber(ARGV[10]) or Q.duration
  if count == starts and duration then
    call('PEXPIRE', limiter, duration)
  end
  return count >= max and math.max(call('PTTL', limiter), 1) or 0, left
end

local limitCount = endJobs()
local jobs, limit, left = {}, 0, passOn
local due = nextDue(Q)
if want > 0 then
  if due and due < now + 1 then
    rarely().promoteDue(Q)
    due = nextDue(Q)
  end
  if again then
    rarely().takeAgain(jobs, tonumber(ARGV[6]))
  end
  limit, left = takeJobs(jobs, limitCount)
end
if (left or passOn) and call('EXISTS', wait, prioritized) > 0 then
  if limit == 0 or passOn then
    wake(Q)
  end
else
  if due and (passOn or (want > 0 and #jobs == want)) then
    call('ZADD', P .. 'marker', due, '1') -- we may be full by then
  end
  if endings.completed + endings.failed > 0 and #jobs == 0 and (want == 0 or not (left or due))
    and call('EXISTS', wait, active, prioritized) == 0 then
    call('XADD', Q.events, '*', 'event', 'drained')
  end
end
return { limit, due or 0, codes, unpack(jobs) }
