-- log: a line for a job's log.
--
-- KEYS[1]  prefix
-- ARGV     now, job id, line, how many lines are kept (0: all)
-- Effects  the line is last in J:logs, the first ones beyond the number are dropped.
-- Reply    the number of lines, or -1 if there is no such job.
local J, keep = KEYS[1] .. ARGV[2], tonumber(ARGV[4])
if redis.call('EXISTS', J) == 0 then
  return -1
end
local count = redis.call('RPUSH', J .. ':logs', ARGV[3])
if keep > 0 and count > keep then
  redis.call('LTRIM', J .. ':logs', -keep, -1)
  return keep
end
return count
