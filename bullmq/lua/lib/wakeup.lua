-- wakeup: for when something that held jobs up is gone.
--@ include base

-- wakeIfAny wakes a worker if jobs are in the line, and tells whether they are.
local function wakeIfAny(Q)
  if call('EXISTS', Q.P .. 'wait', Q.P .. 'paused', Q.P .. 'prioritized') == 0 then
    return false
  end
  wake(Q)
  return true
end
