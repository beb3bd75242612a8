-- cleaned: the event that ends a cleaning.
--
-- KEYS[1]  prefix
-- ARGV     now; how many jobs were removed
-- Effects  event `cleaned`
-- Reply    nil
--@ include base

local Q = open(KEYS[1])
call('XADD', Q.events, 'MAXLEN', '~', Q.maxEvents, '*', 'event', 'cleaned', 'count', ARGV[2])
