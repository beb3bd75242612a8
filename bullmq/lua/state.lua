-- state: where a job is.
--
-- KEYS[1]  prefix
-- ARGV     now; id; '1' for its fields too
-- Reply    nil if there is no such job; the name of its state, 'unknown' if it is in none; its fields and their values
--@ include states

local state = stateOf(KEYS[1], ARGV[2])
if not state then
  return false
end
return { state, ARGV[3] == '1' and call('HGETALL', KEYS[1] .. ARGV[2]) or {} }
