-- forget: finished | failed | cancelled -> (none). The task and all it left are removed.
--
-- KEYS  1 prefix
-- ARGV  task ids
-- Returns a word per task: 'ok', 'unknown', or the state that keeps it ('todo', 'running').
local replies, forgotten = {}, 0

local function forget(id)
  local entry = call('HGET', key.tasks, id)
  if not entry then return 'unknown' end
  local state, chunk_key = STATE[sub(entry, 1, 1)], sub(entry, 2, 5)
  if state == 'todo' or state == 'running' then return state end
  local header = header_of(chunk_key)
  call('HDEL', key.tasks, id)
  call('HDEL', key.tries, id)
  call('DEL', key.past .. id)
  call('SREM', key.failed, id)
  call('SREM', key.cancelled, id)
  count(header.job, state, -1)
  -- A chunk goes with the last of its tasks. A range that still names it is dropped by the next claim.
  if call('HINCRBY', key.gone, chunk_key, 1) >= chunk_size(header) then
    call('HDEL', key.chunks, chunk_key)
    call('HDEL', key.bodies, chunk_key)
    call('HDEL', key.gone, chunk_key)
  end
  return 'ok'
end

for i, id in ipairs(ARGV) do
  replies[i] = forget(id)
  if replies[i] == 'ok' then forgotten = forgotten + 1 end
end
write_counters('forgotten', forgotten)
return replies
