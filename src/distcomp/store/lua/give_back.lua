-- give_back: running -> todo. The worker returns a task: memory ran out, it is draining, or it never started it.
-- Not a failure, so `failures` stays as it is.
--
-- KEYS  1 prefix
-- ARGV  for each task: id, lease token, cause, wall time (ms), CPU time (ms), outcome (msgpack; '' when it never started),
--       need (bytes; what it is known to need now, 0 when nothing was learned)
-- Returns a word per task: 'ok', or 'lease_lost' when another owns the task by now; then nothing is written about it.
local replies, returned = {}, 0
for at = 1, #ARGV, 7 do
  local id, cause, outcome = ARGV[at], ARGV[at + 2], ARGV[at + 5]
  local attempt = owned(call('HGET', key.tasks, id), ARGV[at + 1])
  if attempt then
    local tries = tries_of(id)
    if outcome ~= '' then
      tries.attempts = attempt.attempt
      tries.returns = tries.returns + 1
      count_attempt(cause, tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4]))
    end
    tries.need_bytes = math.max(tries.need_bytes, tonumber(ARGV[at + 6]))
    remember_past(id, outcome)
    return_to_todo(id, attempt, tries)
    if tries.returns >= STARVING.returns then hurry(attempt.header, tries) end
    returned = returned + 1
  end
  replies[#replies + 1] = attempt and 'ok' or 'lease_lost'
end
write_counters('given_back', returned)
if returned > 0 then wake_workers() end
return replies
