-- pending: the next run of a scheduler before it starts.
--@ include base

-- takePending takes a job out of the place where it waits for its start, and names that; nil if it is in none.
local function takePending(Q, id)
  for _, set in ipairs({ 'delayed', 'prioritized' }) do
    if call('ZREM', Q.P .. set, id) == 1 then
      return set
    end
  end
  for _, list in ipairs({ 'wait', 'paused' }) do
    if call('LREM', Q.P .. list, '1', id) == 1 then
      return list
    end
  end
end
