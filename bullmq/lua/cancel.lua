-- cancel: asks the worker that runs a job to end it.
--
-- KEYS[1] P
-- ARGV[1] now, [2] id, [3] reason
-- Effects: the job's field cxl tells the worker when it next extends its lock, and a message on the channel P..cancel has it
--   look at once. The field names the attempt, so that it means nothing to a later one.
-- Reply: 1; -1 no such job; -3 not active.
--@ include base

local P, id = KEYS[1], ARGV[2]
if call('EXISTS', P .. id) == 0 then
  return -1
end
if call('EXISTS', P .. id .. ':lock') == 0 then
  return -3
end
call('HSET', P .. id, 'cxl', (call('HGET', P .. id, 'ats') or '0') .. ':' .. ARGV[3])
call('PUBLISH', P .. 'cancel', id)
return 1
