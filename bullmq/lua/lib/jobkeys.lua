-- jobkeys: the keys of a job. Its lock is not among them: who holds it is still running.
--@ include base

-- addJobKeys appends the keys of a job to a list.
local function addJobKeys(keys, Q, id)
  local J, n = Q.P .. id, #keys
  keys[n + 1], keys[n + 2], keys[n + 3] = J, J .. ':logs', J .. ':dependencies'
  keys[n + 4], keys[n + 5], keys[n + 6] = J .. ':processed', J .. ':failed', J .. ':unsuccessful'
end

local function deleteJob(Q, id)
  local keys = {}
  addJobKeys(keys, Q, id)
  return call('DEL', unpack(keys))
end
