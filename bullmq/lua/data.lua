-- data: new data for a job.
--
-- KEYS[1]  prefix
-- ARGV     now, job id, data (JSON)
-- Effects  field data.
-- Reply    1; -1 there is no such job.
local J = KEYS[1] .. ARGV[2]
if redis.call('EXISTS', J) == 0 then
  return -1
end
redis.call('HSET', J, 'data', ARGV[3])
return 1
