-- settings: other limits for all workers.
--
-- KEYS[1]  prefix
-- ARGV     now; names and values of settings, an empty value to do without
-- Effects  those settings; a worker looks whether it can start jobs now
-- Reply    nil
--@ include wakeup

for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    call('HDEL', KEYS[1] .. 'meta', ARGV[i])
  else
    call('HSET', KEYS[1] .. 'meta', ARGV[i], ARGV[i + 1])
  end
end
wakeIfAny(open(KEYS[1]))
