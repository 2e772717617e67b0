-- leave: a worker ends its life in good order.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation
-- Returns 'ok', 'lease_lost' when that life is over already, or 'busy' when it still holds tasks; nothing is written then.
local worker = ARGV[1]
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
if call('EXISTS', key.held .. worker) == 1 then return 'busy' end
call('HDEL', key.incarnations, worker)
call('HDEL', key.workers, worker)
call('ZREM', key.leases, worker)
call('ZREM', key.lately, worker)
call('DEL', key.revoked .. worker)
return 'ok'
