-- state: where a job is.
--
-- KEYS[1]  prefix
-- ARGV     now; id
-- Reply    the name of the state; 'unknown' if the job is in none; nil if there is no such job
--@ include base

local P, id = KEYS[1], ARGV[2]
for _, state in ipairs({ 'completed', 'failed', 'delayed', 'prioritized', 'waiting-children' }) do
  if call('ZSCORE', P .. state, id) then
    return state
  end
end
for _, list in ipairs({ { 'active', 'active' }, { 'wait', 'waiting' }, { 'paused', 'waiting' } }) do
  if call('LPOS', P .. list[1], id) then
    return list[2]
  end
end
return call('EXISTS', P .. id) == 1 and 'unknown' or false
