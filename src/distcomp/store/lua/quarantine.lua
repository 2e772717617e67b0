-- quarantine: failed -> todo, for tasks that failed on a node where nothing succeeds any more while other nodes do well.
-- The node's worker says so, when its attempts fail one after another. From then on it is given nothing, until `release`.
-- What failed there is not charged: a task that failed for good runs again, one that waits gets its retries back.
--
-- KEYS  1 prefix
-- ARGV  for each worker: its name, its node, why, for people, how long nothing has succeeded there (s), and the ids of
--       the tasks that failed there since, 8 bytes each, once for each attempt
-- Returns a word per worker: 'ok'; 'shared' when no other node has done better in that time, or the worker was released
-- since; then nothing is written.
local now = now_ms()

local function is_of_another_node(worker, node)
  local other = node_of(worker)
  return other and other ~= node
end

-- Has no other node done better in that time? Looks at the workers that have, newest first, so at one or two: where all
-- tasks fail, there are none, however many workers ask.
local function is_shared(node, span)
  local since, seen = text(now - 1000 * span), 0
  while true do
    local page = call('ZREVRANGEBYSCORE', key.lately, '+inf', since, 'LIMIT', seen, 10)
    for _, worker in ipairs(page) do
      if is_of_another_node(worker, node) then return false end
    end
    if #page == 0 then return true end
    seen = seen + #page
  end
end

local returned = 0
local function uncharge(id, node)
  local entry = call('HGET', key.tasks, id)
  local state = entry and sub(entry, 1, 1)
  if state == 'x' and cmsgpack.unpack(sub(entry, 8)).node == node then
    local place, tries = sub(entry, 2, 7), tries_of(id)
    local header = header_of(sub(place, 1, 4))
    local _, index = unpack_struct(PLACE, place)
    tries.attempts = math.max(tries.attempts, cmsgpack.unpack(sub(entry, 8)).attempt)
    remember_past(id, sub(entry, 8))
    call('HSET', key.tries, id, cjson.encode(tries))
    call('HSET', key.tasks, id, 'b' .. place)
    call('SREM', key.failed, id)
    count_waiting(enqueue_single(id, header, index, tries), 1)
    move_count(header.job, 'failed', 'todo')
    returned = returned + 1
  elseif state == 'b' or state == 'd' then
    local tries = tries_of(id)
    tries.failures = math.max(0, tries.failures - 1)
    call('HSET', key.tries, id, cjson.encode(tries))
  end
end

local replies = {}
for at = 1, #ARGV, 5 do
  local worker, node, why, span, ids = unpack(ARGV, at, at + 4)
  local released_at = tonumber(call('HGET', key.released, worker) or 0)
  if call('HEXISTS', key.quarantined, worker) == 1 then
    replies[#replies + 1] = 'ok'
  elseif now - 1000 * tonumber(span) < released_at or is_shared(node, tonumber(span)) then
    replies[#replies + 1] = 'shared'
  else
    call('HSET', key.quarantined, worker, why)
    call('ZREM', key.lately, worker)
    for from = 1, #ids, 8 do uncharge(sub(ids, from, from + 7), node) end
    replies[#replies + 1] = 'ok'
  end
end
write_counters('quarantined', returned)
if returned > 0 then wake_workers() end
return replies
