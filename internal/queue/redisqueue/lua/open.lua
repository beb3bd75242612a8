-- open: jobs start again. A limit that is not the gate's stays.
--
-- KEYS     limiter, gate, gate-turn
-- ARGV     none
-- Effects  the gate, its limit and the turn are gone
-- Reply    1 if the gate was closed: then a worker is to be woken

redis.call('DEL', KEYS[3])
if redis.call('DEL', KEYS[2]) == 0 then
  return 0
end
return redis.call('DEL', KEYS[1])
