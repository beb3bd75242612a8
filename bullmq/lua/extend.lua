-- extend: longer life for the locks of jobs that are being worked on.
--
-- KEYS[1] P
-- ARGV[1] now, [2] time to live of a lock, ms, then an id and a token for each job, at most 500
-- Effects: a lock that holds its token lives anew, and its job is no longer suspected of having stalled.
-- Reply: per job '' if the lock is held, nil if not, or else what was asked to be cancelled: '<starts>:<reason>'.
--@ include base

local P = KEYS[1]
local locks = {}
for i = 3, #ARGV, 2 do
  locks[#locks + 1] = P .. ARGV[i] .. ':lock'
end
local held = call('MGET', unpack(locks))
local reply, alive = {}, {}
for i, token in ipairs(held) do
  local id = ARGV[2 * i + 1]
  if token == ARGV[2 * i + 2] then
    call('PEXPIRE', locks[i], ARGV[2])
    alive[#alive + 1] = id
    reply[i] = call('HGET', P .. id, 'cxl') or ''
  else
    reply[i] = false
  end
end
if #alive > 0 then
  call('SREM', P .. 'stalled', unpack(alive))
end
return reply
