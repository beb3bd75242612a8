-- admit: one job starts although the gate is closed. If it is open by now nothing is changed.
--
-- KEYS     limiter, gate, gate-turn
-- ARGV     ms until the next look; ms until the gate opens by itself
-- Effects  the limit lets one job start; the turn is over, and nobody's until the next look
-- Reply    1 if the gate is closed

if redis.call('PEXPIRE', KEYS[2], ARGV[2]) == 0 then
  return 0
end
redis.call('SET', KEYS[1], '9007199254740990', 'PX', ARGV[2])
redis.call('SET', KEYS[3], 'closed', 'PX', ARGV[1])
return 1
