-- finish: running -> finished. The attempt's result becomes the task's.
--
-- KEYS  1 prefix
-- ARGV  for each task: id, lease token, wall time (ms), CPU time (ms), outcome (msgpack)
-- Returns a word per task: 'ok', or 'lease_lost' when another owns the task by now; then nothing is written about it.
local ids, replies, fields, removed, ended = {}, {}, {}, {}, 0
for at = 1, #ARGV, 5 do ids[#ids + 1] = ARGV[at] end
local entries = call('HMGET', key.tasks, unpack(ids))
local seen = {}

for i, id in ipairs(ids) do
  local at = 5 * i - 4
  -- The second of two reports in one batch must not see what the first one is about to change.
  local attempt = not seen[id] and owned(entries[i], ARGV[at + 1])
  if attempt then
    seen[id] = true
    ended = ended + 1
    fields[#fields + 1] = id
    fields[#fields + 1] = 'f' .. attempt.place .. ARGV[at + 4]
    local of_worker = removed[attempt.worker] or {}
    of_worker[#of_worker + 1] = id
    removed[attempt.worker] = of_worker
    move_count(attempt.header.job, 'running', 'finished')
    count_attempt('finished', tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3]))
    replies[i] = 'ok'
  else
    replies[i] = 'lease_lost'
  end
end

if ended > 0 then
  call('HSET', key.tasks, unpack(fields))
  local now = now_ms()
  for worker, done in pairs(removed) do
    call('SREM', key.held .. worker, unpack(done))
    note_success(worker, now)
  end
  count_ends(now, ended)
end
write_counters('finished', ended)
return replies
