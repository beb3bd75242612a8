-- create: a new job from parts that are known to be valid.
--@ include enqueue

-- create stores a job and puts it in its place: delayed, by priority, or in the line. opts is JSON; timestamp and delay
-- are ms; `more` is a flat list of further fields and values. It does not look whether the id is in use.
local function create(Q, id, name, data, opts, timestamp, delay, priority, lifo, more)
  call('HSET', Q.P .. id, 'name', name, 'data', data, 'opts', opts,
    'timestamp', timestamp, 'delay', delay, 'priority', priority, unpack(more))
  emit(Q, 'added', id, 'name', name)
  if delay > 0 then
    pushDelayed(Q, id, timestamp + delay)
    emit(Q, 'delayed', id, 'delay', timestamp + delay)
    wakeWhenDue(Q)
  else
    push(Q, id, priority, lifo)
    wake(Q)
    emit(Q, 'waiting', id)
  end
end
