-- renew: a worker is alive. Its lease, and with it that of all it has claimed, starts anew.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 facts (JSON)   4 lease (ms)
-- Returns 'lease_lost' when this life of the worker was reaped: nothing it runs is its own any more; else what was
-- taken from it since it last asked, for it to kill: 8 bytes of task id and 8 of token each.
local worker = ARGV[1]
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
call('HSET', key.workers, worker, ARGV[3])
call('ZADD', key.leases, text(now_ms() + tonumber(ARGV[4])), worker)
local revoked = call('SMEMBERS', key.revoked .. worker)
if #revoked > 0 then call('DEL', key.revoked .. worker) end
return revoked
