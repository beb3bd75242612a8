-- pause: no further job starts, in any process.
--
-- KEYS[1]  prefix
-- ARGV     now
-- Effects  setting `paused`; the wake-up is withdrawn; event `paused`. Where BullMQ 5 keeps the line in `paused`
--          meanwhile, so do we: what is in `wait` goes behind what is there already.
-- Reply    nil
--@ include enqueue

local P = KEYS[1]
call('HSET', P .. 'meta', 'paused', '1')
call('DEL', P .. 'marker')
local Q = open(P)
local wait, paused = P .. 'wait', P .. 'paused'
if waitList(Q) == paused and call('EXISTS', wait) == 1 then
  if call('EXISTS', paused) == 0 then
    call('RENAME', wait, paused)
  else
    repeat
      local some = call('LRANGE', wait, -4000, -1)
      local backwards = {}
      for i = #some, 1, -1 do
        backwards[#backwards + 1] = some[i]
      end
      call('LPUSH', paused, unpack(backwards))
      call('LTRIM', wait, 0, -#some - 1)
    until call('EXISTS', wait) == 0
  end
end
call('XADD', Q.events, 'MAXLEN', '~', Q.maxEvents, '*', 'event', 'paused')
