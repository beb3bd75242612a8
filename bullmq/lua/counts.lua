-- counts: how many jobs are in each of some states, at one moment.
--
-- KEYS[1]  prefix
-- ARGV     now; the states
-- Reply    the numbers, in that order
--@ include states

local counts = {}
for i = 2, #ARGV do
  counts[#counts + 1] = count(KEYS[1], ARGV[i])
end
return counts
