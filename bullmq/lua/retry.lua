-- retry: finished jobs are to run once more.
--
-- KEYS[1]  prefix
-- ARGV     now; state they are in (failed, completed); '1' to count their attempts anew; ids
-- Effects  The jobs are at the end of the line, or where their options put them; event `waiting`. Their parents wait for
--          them again. What their errors were stays.
-- Reply    for each id 1; -1 there is no such job; -3 it is not in that state
--@ include enqueue

local Q, state, anew = open(KEYS[1]), ARGV[2], ARGV[3] == '1'
local result = state == 'failed' and 'failedReason' or 'returnvalue'

local function lifo(opts)
  if not opts or not string.find(opts, '"lifo"', 1, true) then
    return false
  end
  local ok, decoded = pcall(cjson.decode, opts)
  return ok and type(decoded) == 'table' and decoded.lifo == true
end

-- relink makes a parent wait again for a child whose end it was told of.
local function relink(parentKey, J)
  if call('EXISTS', parentKey) == 1 and call('ZREM', parentKey .. ':unsuccessful', J)
    + call('HDEL', parentKey .. ':failed', J) + call('HDEL', parentKey .. ':processed', J) > 0 then
    call('SADD', parentKey .. ':dependencies', J)
  end
end

local function retry(id)
  local J = Q.P .. id
  local was = call('ZREM', Q.P .. state, id)
  local job = call('HMGET', J, 'name', 'opts', 'priority', 'parentKey')
  if not job[1] then
    return -1
  elseif was == 0 then
    return -3
  end
  call('HDEL', J, 'finishedOn', 'processedOn', result)
  if anew then
    call('HDEL', J, 'atm', 'ats', 'attemptsMade')
  end
  push(Q, id, tonumber(job[3]) or 0, lifo(job[2]))
  if job[4] then
    relink(job[4], J)
  end
  emit(Q, 'waiting', id, 'prev', state)
  return 1
end

local reply, some = {}, false
for i = 4, #ARGV do
  local code = retry(ARGV[i])
  some = some or code == 1
  reply[#reply + 1] = code
end
if some then
  wake(Q)
end
return reply
