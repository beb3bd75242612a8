-- resume: jobs start again.
--
-- KEYS[1]  prefix
-- ARGV     now
-- Effects  setting `paused` is gone; what BullMQ 5 or we have kept in `paused` goes before what is in `wait`, being older;
--          a worker is woken, now or when the next job is due; event `resumed`.
-- Reply    nil
--@ include wakeup

local P = KEYS[1]
call('HDEL', P .. 'meta', 'paused')
local Q = open(P)
local wait, paused = P .. 'wait', P .. 'paused'
if call('EXISTS', wait) == 0 and call('EXISTS', paused) == 1 then
  call('RENAME', paused, wait)
else
  while call('EXISTS', paused) == 1 do
    call('RPUSH', wait, unpack(call('LRANGE', paused, 0, 3999)))
    call('LTRIM', paused, 4000, -1)
  end
end
if not wakeIfAny(Q) then
  wakeWhenDue(Q)
end
call('XADD', Q.events, 'MAXLEN', '~', Q.maxEvents, '*', 'event', 'resumed')
