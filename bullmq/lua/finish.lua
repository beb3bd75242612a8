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
--     [8] how many of them have to wait for a slot: they are given out only if nothing bounds how many may start
--     [9] name of the worker, or ''
--     [10] [11] how many jobs may start within so many ms, or '' for no limit but the queue's
--     [12] minutes of metrics to keep, or 0
--     [13] how many outcomes follow: first their ids, then their tokens, then their texts, of completed the value as JSON,
--         of failed and retry the reason; last, for each row of outcomes that have it all in common, seven arguments:
--         size    how many outcomes they are
--         kind    completed, failed, retry (which spend an attempt), postpone, return, limit (which do not)
--         flags   p has a parent, d owns a deduplication id, l is LIFO, x has the field cxl, e has spent its last attempt,
--                 u was not started (of return)
--         atm     of completed, failed and retry: attempts made, with this one
--         ms      of retry and postpone: the delay; of limit: how long no job starts; of completed and failed: others that
--                 ended so at this time or before go, or ''
--         keep    of completed and failed: 'all', 'none', or '<count> <limit>': how many at most are kept, and how many go
--                 with each that ends, 0 for any number
--         traces  of failed and retry: the field stacktrace
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
local again, passOn, want, ahead = ARGV[2] == '1', ARGV[3] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])
local active, wait, prioritized, limiter = P .. 'active', P .. 'wait', P .. 'prioritized', P .. 'limiter'

local codes, jobs = {}, {}
local ended, delayed = 0, false -- how many jobs have; whether an outcome has delayed one
local locks, left = {}, {}      -- keys of locks, and ids, of jobs that are no longer active
local kept                      -- times and ids of the jobs of a row that have ended and stay
local started                   -- how many jobs have within the rate limit, or nil

-- leave takes a job out of `active`, and tells whether it was there.
local function leave(id, lock)
  locks[#locks + 1], left[#left + 1] = lock, id
  return call('LREM', active, '-1', id) > 0
end

-- keep lists a job that has ended.
local function keep(id)
  kept[#kept + 1], kept[#kept + 2] = ARGV[1], id
end

-- read returns the hash of an active job as a list, and the index of its field ats in it, if there. An id without a job is
-- dropped, and nil.
local function read(id)
  local job, named, starts = redis.pcall('HGETALL', P .. id), false, nil
  for i = 1, #job, 2 do
    if job[i] == 'name' then
      named = true
    elseif job[i] == 'ats' then
      starts = i
    end
  end
  if named then
    return job, starts
  end
  call('LREM', active, '1', id)
end

-- give adds a job to the reply.
local function give(job, id, token)
  local n = #job
  job[n + 1], job[n + 2] = id, token
  jobs[#jobs + 1] = job
end

-- pop moves at most n ids to `active`, in the order in which they start.
local function pop(n)
  local ids = call('RPOP', wait, n) or {}
  if #ids > 0 then
    call('LPUSH', active, unpack(ids))
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

-- start locks an active job and notes that an attempt begins; at is the index of its field ats, or nil.
local function start(job, at, id, token)
  local J, starts = P .. id, '1'
  if at then
    starts = string.format('%d', (tonumber(job[at + 1]) or 0) + 1)
  end
  at = at or #job + 1
  job[at], job[at + 1] = 'ats', starts
  call('SET', J .. ':lock', token, 'PX', ARGV[4])
  emit(Q, 'active', id, 'prev', 'waiting')
  if ARGV[9] == '' then
    call('HSET', J, 'processedOn', ARGV[1], 'ats', starts)
  else
    call('HSET', J, 'processedOn', ARGV[1], 'ats', starts, 'pb', ARGV[9])
  end
end

-- evict deletes jobs of a state, of which n have just ended: those of the time ms and before, and what is over by the rule.
local function evict(key, n, ms, rule)
  local function delete(ids)
    for from = 1, #ids, 500 do
      local keys, to = {}, math.min(from + 499, #ids)
      for i = from, to do
        addJobKeys(keys, Q, ids[i])
      end
      call('DEL', unpack(keys))
      call('ZREM', key, unpack(ids, from, to))
    end
  end
  local count, limit = string.match(rule, '^(%d+) (%d+)$')
  count, limit = tonumber(count) or 0, tonumber(limit) or 0
  if ms ~= '' then
    limit = limit > 0 and math.min(limit * n, maxEvicted) or maxEvicted
    delete(call('ZREVRANGEBYSCORE', key, ms, '-inf', 'LIMIT', '0', limit))
  end
  local over = count > 0 and call('ZCARD', key) - count or 0
  if over > 0 then
    delete(call('ZRANGE', key, '0', string.format('%d', math.min(over, maxEvicted) - 1)))
  end
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

-- First what has ended.
local n = tonumber(ARGV[13])
if n == 0 then
  started = call('GET', limiter)
else
  local hashes, strings, children = {}, {}, {}
  for i = 1, n do
    local J = P .. ARGV[13 + i]
    hashes[i], strings[i] = J, J .. ':lock'
    children[2 * i - 1], children[2 * i] = J .. ':dependencies', J .. ':unsuccessful'
  end
  strings[n + 1] = limiter
  local held = call('MGET', unpack(strings))
  started = held[n + 1]
  local sound = call('EXISTS', unpack(hashes)) == n and call('EXISTS', unpack(children)) == 0
  local i = 0
  for at = 14 + 3 * n, #ARGV, 7 do
    local size, kind, flags, atm, ms, rule, traces = unpack(ARGV, at, at + 6)
    local usual, before = sound and kind == 'completed' and flags == '' and rule ~= 'none', ended
    kept = {}
    for _ = 1, tonumber(size) do
      i = i + 1
      local id, token, text, done, code = ARGV[13 + i], ARGV[13 + n + i], ARGV[13 + 2 * n + i], true, 0
      if not usual or held[i] ~= token then
        done, code = pcall(rarely().settle, held[i], kind, id, token, flags, text, traces, ms, atm, rule)
      elseif not leave(id, strings[i]) then
        code = -3
      elseif type(redis.pcall('HSET', hashes[i], 'atm', atm, 'returnvalue', text, 'finishedOn', ARGV[1])) == 'table' then
        done = false
      else
        ended = ended + 1
        keep(id)
        emit(Q, 'completed', id, 'returnvalue', text, 'prev', 'active')
      end
      codes[i] = done and code or -100
    end
    if #kept > 0 then
      local key = P .. kind
      call('ZADD', key, unpack(kept))
      if rule ~= 'all' or (ms ~= '' and call('ZCOUNT', key, '-inf', ms) > 0) then
        evict(key, #kept / 2, ms, rule)
      end
    end
    if ARGV[12] ~= '0' and ended > before then
      rarely().meter(kind, ended - before, tonumber(ARGV[12]))
    end
  end
  if #locks > 0 then
    call('DEL', unpack(locks))
    call('SREM', P .. 'stalled', unpack(left))
  end
  if delayed then
    wakeWhenDue(Q)
  end
end

-- Then what comes next.
local limit, more = 0, passOn -- ms; whether jobs may be left
local due = nextDue(Q)
if want > 0 then
  if due and due < now + 1 then
    rarely().promoteDue(Q)
    due = nextDue(Q)
  end
  local used = again and rarely().takeAgain(tonumber(ARGV[6])) or {}
  local had, number, ghosts = #jobs, tonumber(ARGV[6]), 0
  local stop, max = want, Q.max or tonumber(ARGV[10])
  if started or max or Q.paused or Q.maxActive then
    stop, limit, max = rarely().bound(max)
  end
  more = true
  while more and #jobs < stop and ghosts < maxGhosts do
    local ids = pop(stop - #jobs)
    more = #ids == stop - #jobs
    for i = 1, #ids do
      local id = ids[i]
      local job, at = read(id)
      if job then
        local token = ARGV[5] .. number
        while used[token] do
          number = number + 1
          token = ARGV[5] .. number
        end
        number = number + 1
        start(job, at, id, token)
        give(job, id, token)
      else
        ghosts = ghosts + 1
      end
    end
  end
  if max and #jobs > had then
    limit = rarely().count(had + 1, max)
  end
end

if (more or passOn) and call('EXISTS', wait, prioritized) > 0 then
  if limit == 0 or passOn then
    wake(Q)
  end
else
  if due and (passOn or (want > 0 and #jobs >= want - ahead)) then
    call('ZADD', P .. 'marker', due, '1') -- we may be full by then
  end
  if ended > 0 and #jobs == 0 and (want == 0 or not (more or due)) and call('EXISTS', wait, active, prioritized) == 0 then
    call('XADD', Q.events, '*', 'event', 'drained')
  end
end
return { limit, due or 0, codes, unpack(jobs) }
