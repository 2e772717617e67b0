-- drop_job: removes a job to which no task was added.
--
-- KEYS  1 prefix
-- ARGV  1 job
-- Returns 'ok', or 'in_use' when it has had tasks; then nothing is written.
for _, state in ipairs({ 'todo', 'running', 'finished', 'failed', 'cancelled' }) do
  if call('HEXISTS', key.counts, ARGV[1] .. ':' .. state) == 1 then return 'in_use' end
end
call('HDEL', key.jobs, ARGV[1])
return 'ok'
