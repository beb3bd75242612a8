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
