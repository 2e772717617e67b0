-- renew: a worker is alive. Its lease, and with it that of all it has claimed, starts anew.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 facts (JSON)   4 lease (ms)
--       5 the most that was in use in this life, of memory and of cores (thousandths, two numbers in a text)
--       then since it last said: name and amount of each sum to add to (Store.renew has the names)
-- Returns 'lease_lost' when this life of the worker was reaped: nothing it runs is its own any more; else
-- { ms since anybody looked for dead workers, by this clock, or -1 if that is not known; then what was taken from the worker
-- since it last asked, for it to kill: 8 bytes of task id and 8 of token each }.
local worker = ARGV[1]
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
call('HSET', key.workers, worker, ARGV[3])
local now = now_ms()
call('ZADD', key.leases, text(now + tonumber(ARGV[4])), worker)
call('HSET', key.peaks, worker, text(now) .. ' ' .. ARGV[5])
for at = 6, #ARGV, 2 do add_stat(ARGV[at], tonumber(ARGV[at + 1])) end
write_counters('renewed', 0)
local revoked = call('SMEMBERS', key.revoked .. worker)
if #revoked > 0 then call('DEL', key.revoked .. worker) end
table.insert(revoked, 1, math.max(-1, now - tonumber(call('GET', key.reaped_at) or now + 1)))
return revoked
