-- reap: running -> todo, for the tasks of workers whose lease has ended; -> failed for poison tasks.
-- Every worker calls it from time to time, and a call that finds nothing costs next to nothing.
--
-- KEYS  1 prefix
-- ARGV  1 lease (ms)   2 nodes lost until a task is poison
-- Returns how many tasks were taken from dead workers.
local lease, now = tonumber(ARGV[1]), now_ms()
local before = tonumber(call('GET', key.reaped_at) or 0)
call('SET', key.reaped_at, text(now))

-- Nobody looked for half a lease, or the clock was set back or forth: who could not renew in that time, or whose lease is
-- dated by another clock, is not dead for it. All leases start anew. Half of one, as the others began a quarter before.
if now < before or now - before > lease / 2 then
  for _, worker in ipairs(call('ZRANGE', key.leases, 0, -1)) do call('ZADD', key.leases, text(now + lease), worker) end
  -- Delays that the old clock set must not keep tasks for hours: a delay is a minute at most.
  for _, id in ipairs(call('ZRANGEBYSCORE', key.delayed, text(now + 3600000), '+inf', 'LIMIT', 0, 10000)) do
    call('ZADD', key.delayed, text(now), id)
  end
  return 0
end

local lost = 0
for _, worker in ipairs(call('ZRANGEBYSCORE', key.leases, '-inf', text(now), 'LIMIT', 0, 10)) do
  local node = node_of(worker) or worker
  -- From here on nothing this worker says counts, though its tasks may take several calls.
  call('HDEL', key.incarnations, worker)
  lost = lost + lose_held(worker, node, tonumber(ARGV[2]), 500)
  if call('EXISTS', key.held .. worker) == 0 then
    call('HDEL', key.workers, worker)
    call('ZREM', key.leases, worker)
    call('ZREM', key.lately, worker)
    call('DEL', key.revoked .. worker)
  end
end
write_counters('lost', lost)
if lost > 0 then wake_workers() end
return lost
