-- fail: running -> failed. The task will not be tried again unless its user says so.
--
-- KEYS  1 prefix
-- ARGV  for each task: id, lease token, cause, wall time (ms), CPU time (ms), outcome (msgpack)
-- Returns a word per task: 'ok', or 'lease_lost' when another owns the task by now; then nothing is written about it.
local replies, ended, failed_on, now = {}, 0, {}, now_ms()
for at = 1, #ARGV, 6 do
  local id = ARGV[at]
  local attempt = owned(call('HGET', key.tasks, id), ARGV[at + 1])
  if attempt then
    call('HSET', key.tasks, id, 'x' .. attempt.place .. ARGV[at + 5])
    call('SREM', key.held .. attempt.worker, id)
    call('SADD', key.failed, id)
    move_count(attempt.header.job, 'running', 'failed')
    count_attempt(ARGV[at + 2], tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
    if ARGV[at + 2] == 'exit' then failed_on[attempt.worker] = true end
    ended = ended + 1
  end
  replies[#replies + 1] = attempt and 'ok' or 'lease_lost'
end
if ended > 0 then count_ends(now, ended) end
for worker in pairs(failed_on) do note_failure(worker, now) end
write_counters('failed', ended)
return replies
