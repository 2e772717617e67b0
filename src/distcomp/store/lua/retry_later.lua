-- retry_later: running -> todo. The attempt failed and the task has tries left: it waits, then runs again.
--
-- KEYS  1 prefix
-- ARGV  for each task: id, lease token, cause, wall time (ms), CPU time (ms), outcome (msgpack), delay (ms),
--       node to keep away from ('' for none)
-- Returns a word per task: 'ok'; 'nowhere' when only the node to keep away from is left, and 'lease_lost' when
-- another owns the task by now. Nothing is written for a task unless its word is 'ok'.
local now, SHUN_MS = now_ms(), 30000

-- Is there a live worker on a node that the task may still go to?
local function has_another_node(away)
  local barred = {}
  for _, node in ipairs(away) do barred[node] = true end
  return find_node(now, barred) ~= nil
end

local failed_on = {}
local function settle(at)
  local id, cause, away = ARGV[at], ARGV[at + 2], ARGV[at + 7]
  local attempt = owned(call('HGET', key.tasks, id), ARGV[at + 1])
  if not attempt then return 'lease_lost' end
  local tries = tries_of(id)
  tries.attempts = attempt.attempt
  tries.failures = tries.failures + 1
  if away ~= '' then
    tries.away = tries.away or {}
    table.insert(tries.away, away)
    if not has_another_node(tries.away) then return 'nowhere' end
  end
  -- Another node may do better: for a while this one gets it only if there is no other.
  tries.shun = node_of(attempt.worker) or attempt.worker
  tries.shun_until = now + tonumber(ARGV[at + 6]) + SHUN_MS
  call('HSET', key.tries, id, cjson.encode(tries))
  call('HSET', key.tasks, id, 'd' .. attempt.place)
  call('ZADD', key.delayed, text(now + tonumber(ARGV[at + 6])), id)
  call('SREM', key.held .. attempt.worker, id)
  remember_past(id, ARGV[at + 5])
  count_waiting(class_now(attempt.header, tries), 1)
  move_count(attempt.header.job, 'running', 'todo')
  if cause == 'exit' then failed_on[attempt.worker] = true end
  count_attempt(cause, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  return 'ok'
end

local replies, delayed = {}, 0
for at = 1, #ARGV, 8 do
  local reply = settle(at)
  if reply == 'ok' then delayed = delayed + 1 end
  replies[#replies + 1] = reply
end
for worker in pairs(failed_on) do note_failure(worker, now) end
write_counters('delayed', delayed)
-- The first to become due may be one of these: workers that wait set their timers anew.
if delayed > 0 then wake_workers() end
return replies
