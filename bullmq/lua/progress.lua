-- progress: how far a job is.
--
-- KEYS[1]  prefix
-- ARGV     now, job id, progress (JSON)
-- Effects  field progress; event `progress`.
-- Reply    1; -1 there is no such job.
--@ include base
local id = ARGV[2]
local Q = open(KEYS[1])
if call('EXISTS', Q.P .. id) == 0 then
  return -1
end
call('HSET', Q.P .. id, 'progress', ARGV[3])
emit(Q, 'progress', id, 'data', ARGV[3])
return 1
