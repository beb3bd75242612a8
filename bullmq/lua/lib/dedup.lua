-- dedup: the keys of deduplication, `de:<id>` with the job that owns it and `dn:<id>` with a job to make after that one.
--@ include create

-- freeDedup gives up the deduplication id of a job that has ended. A key with a time to live outlasts its job; one of
-- another job is that one's. A job that was kept back meanwhile is made now.
local function freeDedup(Q, dedupID, jobID)
  local owner, next = Q.P .. 'de:' .. dedupID, Q.P .. 'dn:' .. dedupID
  if call('GET', owner) ~= jobID or call('PTTL', owner) >= 0 then
    return
  end
  call('DEL', owner)
  local kept = call('HMGET', next, 'name', 'data', 'opts', 'jid', 'pk', 'pd', 'rjk')
  if not kept[1] then
    return
  end
  call('DEL', next)
  local ok, opts = pcall(cjson.decode, kept[3] or '{}')
  if not ok or type(opts) ~= 'table' then
    opts = {}
  end
  local count = call('INCR', Q.P .. 'id')
  local id = kept[4] or tostring(count)
  local more = { 'deid', dedupID }
  for field, value in pairs({ parentKey = kept[5], parent = kept[6], rjk = kept[7] }) do
    if value then
      more[#more + 1] = field
      more[#more + 1] = value
    end
  end
  call('SET', owner, id)
  create(Q, id, kept[1], kept[2] or 'null', kept[3] or '{}', tonumber(opts.timestamp) or now,
    tonumber(opts.delay) or 0, tonumber(opts.priority) or 0, opts.lifo == true, more)
  if kept[5] then
    call('SADD', kept[5] .. ':dependencies', Q.P .. id)
  end
end
