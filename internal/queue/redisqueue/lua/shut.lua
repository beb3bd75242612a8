-- shut: no job starts, in any process.
--
-- KEYS     limiter, gate, gate-turn
-- ARGV     since, reason, failures; ms until the next look; ms until the gate opens by itself
-- Effects  the queue is limited; `gate` says so, with the `since` of the first time; the turn is over, and nobody's until
--          the next look
-- Reply    1

redis.call('SET', KEYS[1], '9007199254740991', 'PX', ARGV[5])
redis.call('HSETNX', KEYS[2], 'since', ARGV[1])
redis.call('HSET', KEYS[2], 'reason', ARGV[2], 'failures', ARGV[3])
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('SET', KEYS[3], 'closed', 'PX', ARGV[4])
return 1
