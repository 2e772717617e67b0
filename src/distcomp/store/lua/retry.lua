-- retry: failed | cancelled | finished -> todo. The user wants the task run again, with its retries and nodes anew.
--
-- KEYS  1 prefix
-- ARGV  task ids
-- Returns a word per task: 'ok', 'unknown', or the state it is still in ('todo', 'running').
local replies, retried = {}, 0

local function retry(id)
  local entry = call('HGET', key.tasks, id)
  if not entry then return 'unknown' end
  local state, place = STATE[sub(entry, 1, 1)], sub(entry, 2, 7)
  if state == 'todo' or state == 'running' then return state end
  local header = header_of(sub(place, 1, 4))
  local _, index = unpack_struct(PLACE, place)
  local tries = tries_of(id)
  if #entry > 7 then
    local outcome = sub(entry, 8)
    tries.attempts = math.max(tries.attempts, cmsgpack.unpack(outcome).attempt)
    remember_past(id, outcome)
  end
  tries.failures, tries.returns, tries.away, tries.shun, tries.lost_on = 0, 0, nil, nil, nil
  tries.doubted = nil
  call('HSET', key.tries, id, cjson.encode(tries))
  call('HSET', key.tasks, id, 'b' .. place)
  call('SREM', key.failed, id)
  call('SREM', key.cancelled, id)
  count_waiting(enqueue_single(id, header, index, tries), 1)
  move_count(header.job, state, 'todo')
  return 'ok'
end

for i, id in ipairs(ARGV) do
  replies[i] = retry(id)
  if replies[i] == 'ok' then retried = retried + 1 end
end
write_counters('retried', retried)
if retried > 0 then wake_workers() end
return replies
