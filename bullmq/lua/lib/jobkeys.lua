-- jobkeys: the keys of a job. Its lock is not among them: who holds it is still running.
--@ include base

local function deleteJob(Q, id)
  local J = Q.P .. id
  return call('DEL', J, J .. ':logs', J .. ':dependencies', J .. ':processed', J .. ':failed', J .. ':unsuccessful')
end
