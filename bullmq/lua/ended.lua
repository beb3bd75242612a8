-- ended: whether and how a job has ended.
-- ARGV: now, job id
-- Reply: { how, text, last }: how is 'completed' with the value (JSON) as text, 'failed' with the reason, 'pending', or ''
--   if there is no such job; last is the id of the last event.
local P, id = KEYS[1], ARGV[2]
local last = '0-0'
local info = redis.pcall('XINFO', 'STREAM', P .. 'events')
for i = 1, #info, 2 do -- an error has no elements: there were no events yet
  if info[i] == 'last-generated-id' then
    last = info[i + 1]
  end
end
if redis.call('EXISTS', P .. id) == 0 then
  return { '', '', last }
elseif redis.call('ZSCORE', P .. 'completed', id) then
  return { 'completed', redis.call('HGET', P .. id, 'returnvalue') or 'null', last }
elseif redis.call('ZSCORE', P .. 'failed', id) then
  return { 'failed', redis.call('HGET', P .. id, 'failedReason') or '', last }
end
return { 'pending', '', last }
