-- enqueue: the places where a job waits for its turn.
--@ include base

-- waitList names the list of waiting jobs. While a queue is paused BullMQ 5 keeps them in `paused` and BullMQ 6 leaves
-- them in `wait`. A list that the other version does not expect would be lost when that one resumes the queue, so a paused
-- queue follows what is there already, or else the version that wrote the settings.
local function waitList(Q)
  if not Q.paused then
    return Q.P .. 'wait'
  end
  local major = tonumber(string.match(Q.version, '^bullmq:(%d+)'))
  if (major and major <= 5) or call('EXISTS', Q.P .. 'paused') == 1 then
    return Q.P .. 'paused'
  end
  return Q.P .. 'wait'
end

-- pushPrioritized puts a job behind those of its priority, or before them.
local function pushPrioritized(Q, id, priority, first)
  local score = priority * 0x100000000
  if not first then
    score = score + call('INCR', Q.P .. 'pc') % 0x100000000
  end
  call('ZADD', Q.P .. 'prioritized', score, id)
end

-- push puts a job at the end of the line. With first it is the next to start; a priority has its place in any case.
local function push(Q, id, priority, first)
  if priority > 0 then
    pushPrioritized(Q, id, priority)
  else
    call(first and 'RPUSH' or 'LPUSH', waitList(Q), id)
  end
end

-- pushDelayed puts a job where it waits until due (ms). Jobs of one ms keep their order in the 12 bits below it.
local function pushDelayed(Q, id, due)
  local score = due * 4096
  local last = call('ZREVRANGEBYSCORE', Q.P .. 'delayed', score + 4095, score, 'WITHSCORES', 'LIMIT', 0, 1)
  if last[2] then
    score = math.min(tonumber(last[2]) + 1, score + 4095)
  end
  call('ZADD', Q.P .. 'delayed', score, id)
end
