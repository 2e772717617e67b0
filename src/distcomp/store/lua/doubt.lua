-- doubt: running -> todo. The attempt failed for good on a node where nothing has succeeded yet, or where several have
-- failed in a row: another node is to tell whether that is the task's fault or the node's. Once for each task; it counts
-- against its retries.
--
-- KEYS  1 prefix
-- ARGV  for each task: id, lease token, cause, wall time (ms), CPU time (ms), outcome (msgpack)
-- Returns a word per task: 'ok'; 'nowhere' when no node is known that may do better, or the task was doubted before, and
-- 'lease_lost' when another owns the task by now. Nothing is written for a task unless its word is 'ok'.
local now, SHUN_MS, MOST_LOOKED_AT = now_ms(), 3600000, 50

-- A live worker of another node whose last attempt did not fail, if it has made any: it may do better.
local function is_hope_elsewhere(node)
  for _, worker in ipairs(call('ZREVRANGEBYSCORE', key.leases, '+inf', text(now), 'LIMIT', 0, MOST_LOOKED_AT)) do
    local has_failed = tonumber(call('ZSCORE', key.lately, worker) or 0) < 0
    if not has_failed and call('HEXISTS', key.quarantined, worker) == 0 then
      local other = node_of(worker)
      if other and other ~= node then return true end
    end
  end
  return false
end

local hopes, failed_on = {}, {}
local function settle(at)
  local id, cause = ARGV[at], ARGV[at + 2]
  local attempt = owned(call('HGET', key.tasks, id), ARGV[at + 1])
  if not attempt then return 'lease_lost' end
  local tries, worker = tries_of(id), attempt.worker
  local node = node_of(worker) or worker
  if hopes[node] == nil then hopes[node] = is_hope_elsewhere(node) end
  if tries.doubted or not hopes[node] then return 'nowhere' end
  tries.attempts, tries.failures, tries.doubted = attempt.attempt, tries.failures + 1, true
  -- This node gets it again only if there is no other.
  tries.shun, tries.shun_until = node, now + SHUN_MS
  remember_past(id, ARGV[at + 5])
  return_to_todo(id, attempt, tries)
  failed_on[worker] = true
  count_attempt(cause, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
  return 'ok'
end

local replies, doubted = {}, 0
for at = 1, #ARGV, 6 do
  local reply = settle(at)
  if reply == 'ok' then doubted = doubted + 1 end
  replies[#replies + 1] = reply
end
for worker in pairs(failed_on) do note_failure(worker, now) end
write_counters('doubted', doubted)
if doubted > 0 then wake_workers() end
return replies
