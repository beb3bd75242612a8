-- promote: delayed jobs whose time has come go to the line.
--@ include enqueue

-- promoteDue moves at most 1000 jobs and wakes one worker. An id whose job is gone is dropped.
local function promoteDue(Q)
  local due = call('ZRANGEBYSCORE', Q.P .. 'delayed', '0', (now + 1) * 4096 - 1, 'LIMIT', '0', '1000')
  if #due == 0 then
    return
  end
  call('ZREM', Q.P .. 'delayed', unpack(due))
  for _, id in ipairs(due) do
    local job = call('HMGET', Q.P .. id, 'name', 'priority')
    if job[1] then
      push(Q, id, tonumber(job[2]) or 0)
      call('HSET', Q.P .. id, 'delay', '0')
      emit(Q, 'waiting', id, 'prev', 'delayed')
    end
  end
  wake(Q)
end
