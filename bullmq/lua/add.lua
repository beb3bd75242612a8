-- add: new jobs, in order.
--
-- KEYS[1]  prefix
-- ARGV     now, number of jobs, and for each row of jobs that have it in common: how many they are, flags, name, timestamp;
-- then for each of these: data (JSON), opts (JSON), and what the flags announce, in this order:
--   i  its own id        c  key of the parent, field `parent` (JSON)
--   d  delay in ms       u  deduplication id, time to live in ms or 0, flags (below)
--   p  priority          l  lifo; nothing follows
-- Deduplication: x extends the time with each hit, r replaces a delayed job, k keeps the last job while the first one is
-- active, s gives its delay to a delayed one.
-- Effects  the counter grows by the number of jobs, whatever becomes of them. Each job is stored and put in its place with
-- its events, or found to be there already; at most one wake-up of each kind.
-- Reply    the counter, then for each job that is not stored under its own id or its share of the counter: its index from 0,
-- and the id of the job in its place or an error: -5 the parent is missing, -7 it has another parent.
--@ include enqueue

local Q = open(KEYS[1])
local P = Q.P
local count = tonumber(ARGV[2])
local counter = call('INCRBY', P .. 'id', count)
local reply = { counter }
local line, runnable, delayed = {}, false, false
local at, index = 3, 0 -- of the next argument, and of the next job

-- number returns the id of a job by the counter.
local function number(i)
  return string.format('%.0f', counter - count + i + 1)
end

-- note takes what became of the next job into the reply, if it is not what was asked for.
local function note(outcome)
  if outcome then
    reply[#reply + 1], reply[#reply + 2] = index, outcome
  end
  index = index + 1
end

-- rarely returns functions that few calls need. Making functions takes a good part of a short script's time.
local functions
local function rarely()
  if not functions then
    --@ include special
    functions = special
  end
  return functions
end

-- addPlain adds jobs that ask for nothing but their turn and, with own, their ids.
local function addPlain(size, own, name, timestamp)
  local ids, keys, seen, free, width = {}, {}, {}, true, own and 3 or 2
  for i = 1, size do
    local id = own and ARGV[at + 3 * i - 1] or number(index + i - 1)
    ids[i], keys[i] = id, P .. id
    free, seen[id] = free and not seen[id], true
  end
  free = not own or (free and call('EXISTS', unpack(keys)) == 0)
  for i = 1, size do
    local id = ids[i]
    if free or call('EXISTS', keys[i]) == 0 then
      call('HSET', keys[i], 'name', name, 'data', ARGV[at], 'opts', ARGV[at + 1], 'timestamp', timestamp,
        'delay', '0', 'priority', '0')
      emit(Q, 'added', id, 'name', name)
      emit(Q, 'waiting', id)
      line[#line + 1] = id
      note()
    else
      emit(Q, 'duplicated', id)
      note(id)
    end
    at = at + width
  end
end

while ARGV[at] do
  local size, flags, name, timestamp = unpack(ARGV, at, at + 3)
  at = at + 4
  if flags == '' or flags == 'i' then
    addPlain(tonumber(size), flags == 'i', name, timestamp)
  else
    for _ = 1, tonumber(size) do
      note(rarely().add(flags, name, timestamp))
    end
  end
end

if #line > 0 then
  call('LPUSH', waitList(Q), unpack(line))
  runnable = true
end
if runnable then
  wake(Q)
end
if delayed then
  wakeWhenDue(Q)
end
return reply
