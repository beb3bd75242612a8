-- unlimit: the present window of the rate limit is over.
--
-- KEYS[1]  prefix
-- ARGV     now
-- Effects  the counter is gone; a worker looks whether it can start jobs now
-- Reply    nil
--@ include wakeup

call('DEL', KEYS[1] .. 'limiter')
wakeIfAny(open(KEYS[1]))
