-- range: ids of the jobs in some states, at one moment.
--
-- KEYS[1]  prefix
-- ARGV     now; first and last index, negative ones from the end; '1' for ascending; the states
-- Reply    a list of ids for each state
--
-- Ascending is the order in which jobs start, for finished ones that in which they ended. The range is taken of each
-- state by itself.
--@ include states

local P, first, last, ascending = KEYS[1], tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4] == '1'

local function reversed(list)
  local result = {}
  for i = #list, 1, -1 do
    result[#result + 1] = list[i]
  end
  return result
end

-- lists returns a range of lists that are one behind the other, from the head of the first, whose newest job is there.
local function lists(names)
  local total, lengths = 0, {}
  for i, name in ipairs(names) do
    lengths[i] = call('LLEN', P .. name)
    total = total + lengths[i]
  end
  local from = math.max(0, first < 0 and total + first or first)
  local to = math.min(total - 1, last < 0 and total + last or last)
  if ascending then
    from, to = total - 1 - to, total - 1 - from
  end
  local ids = {}
  for i, name in ipairs(names) do
    if from < lengths[i] and to >= 0 and from <= to then
      for _, id in ipairs(call('LRANGE', P .. name, math.max(from, 0), math.min(to, lengths[i] - 1))) do
        ids[#ids + 1] = id
      end
    end
    from, to = from - lengths[i], to - lengths[i]
  end
  return ascending and reversed(ids) or ids
end

local ranges = {}
for i = 5, #ARGV do
  local state = ARGV[i]
  if sets[state] then
    ranges[#ranges + 1] = call(ascending and 'ZRANGE' or 'ZREVRANGE', P .. state, first, last)
  elseif state == 'active' then
    ranges[#ranges + 1] = lists({ 'active' })
  else
    ranges[#ranges + 1] = lists({ 'wait', 'paused' })
  end
end
return ranges
