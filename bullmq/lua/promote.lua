-- promote: delayed jobs need not wait for their time.
--
-- KEYS[1]  prefix
-- ARGV     now; ids
-- Effects  The jobs are at the end of the line, or where their priority puts them; event `waiting`.
-- Reply    for each id 1; -1 there is no such job; -3 it is not delayed
--@ include enqueue

local Q = open(KEYS[1])
local reply, some = {}, false
for i = 2, #ARGV do
  local id = ARGV[i]
  local was = call('ZREM', Q.P .. 'delayed', id)
  local job = call('HMGET', Q.P .. id, 'name', 'priority')
  if not job[1] then
    reply[#reply + 1] = -1
  elseif was == 0 then
    reply[#reply + 1] = -3
  else
    push(Q, id, tonumber(job[2]) or 0)
    call('HSET', Q.P .. id, 'delay', '0')
    emit(Q, 'waiting', id, 'prev', 'delayed')
    some = true
    reply[#reply + 1] = 1
  end
end
if some then
  wake(Q)
end
return reply
