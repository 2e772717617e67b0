-- open_job: a new job, which tasks can be submitted to.
--
-- KEYS  1 prefix
-- ARGV  1 context (msgpack)
-- Returns the job's number.
local job = call('INCR', key.job_no)
call('HSET', key.jobs, job, ARGV[1])
return job
