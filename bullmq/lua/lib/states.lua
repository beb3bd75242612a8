-- states: where jobs in a state are found. Waiting jobs are in `wait` and, of a queue that a BullMQ 5 has paused, in
-- `paused`: one line, whose end is the head of `wait` and whose front is the tail of `paused`.
--@ include base

-- sets are the states that are sorted sets.
local sets = {
  ['completed'] = true, ['failed'] = true, ['delayed'] = true, ['prioritized'] = true, ['waiting-children'] = true,
}

-- count returns how many jobs are in a state.
local function count(P, state)
  if sets[state] then
    return call('ZCARD', P .. state)
  elseif state == 'active' then
    return call('LLEN', P .. 'active')
  end
  return call('LLEN', P .. 'wait') + call('LLEN', P .. 'paused')
end

-- stateOf returns where a job is: 'unknown' if it is in no state, false if there is no such job.
local function stateOf(P, id)
  for state in pairs(sets) do
    if call('ZSCORE', P .. state, id) then
      return state
    end
  end
  for _, list in ipairs({ { 'active', 'active' }, { 'wait', 'waiting' }, { 'paused', 'waiting' } }) do
    if call('LPOS', P .. list[1], id) then
      return list[2]
    end
  end
  return call('EXISTS', P .. id) == 1 and 'unknown'
end
