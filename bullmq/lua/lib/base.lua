-- base: a queue's settings, its events and its wake-up.
--
-- KEYS[1] is the key prefix of the queue with its last colon (`bull:mail:`); every other key begins with it. KEYS[2] is
-- declared for Redis only, see script.go. ARGV[1] is the caller's clock in ms: BullMQ never asks the server's.
--
-- Numbers are given to redis.call as numbers. It writes them with 17 digits, while `..` writes 14 and would spoil scores.
-- That takes longer than the rest of the call: what is used often is a string to begin with.
local call = redis.call
local now = tonumber(ARGV[1])

-- open reads the settings of the queue whose keys begin with P.
local function open(P)
  local meta = call('HMGET', P .. 'meta', 'opts.maxLenEvents', 'paused', 'concurrency', 'max', 'duration', 'version')
  if not meta[1] then
    call('HSET', P .. 'meta', 'opts.maxLenEvents', '10000')
  end
  return {
    P = P,
    events = P .. 'events',
    maxEvents = string.match(meta[1] or '', '^%d%d?%d?%d?%d?%d?%d?%d?%d?$') or '10000', -- length, roughly, of the stream
    paused = meta[2] ~= false,
    maxActive = tonumber(meta[3]),  -- jobs active at once in all processes, or nil
    max = tonumber(meta[4]),        -- jobs started per duration in all processes, or nil
    duration = tonumber(meta[5]),   -- ms
    version = meta[6] or '',
  }
end

-- emit adds an event of a job, with further fields and values. The first one of a call has the stream trimmed.
local function emit(Q, event, id, ...)
  if Q.trimmed then
    call('XADD', Q.events, '*', 'event', event, 'jobId', id, ...)
  else
    Q.trimmed = true
    call('XADD', Q.events, 'MAXLEN', '~', Q.maxEvents, '*', 'event', event, 'jobId', id, ...)
  end
end

-- blocked tells whether no job may start now.
local function blocked(Q)
  return Q.paused or (Q.maxActive ~= nil and call('LLEN', Q.P .. 'active') >= Q.maxActive)
end

-- wake lets one sleeping worker look for a job.
local function wake(Q)
  if not blocked(Q) then
    call('ZADD', Q.P .. 'marker', '0', '0')
  end
end

-- nextDue returns when the earliest delayed job is due, in ms with a fraction, or nil.
local function nextDue(Q)
  local first = call('ZRANGE', Q.P .. 'delayed', '0', '0', 'WITHSCORES')
  return first[2] and tonumber(first[2]) / 4096
end

-- wakeWhenDue lets one sleeping worker know of the earliest delayed job.
local function wakeWhenDue(Q)
  local due = nextDue(Q)
  if due then
    call('ZADD', Q.P .. 'marker', due, '1')
  end
end
