-- register: a worker begins a life. What an earlier life of the same worker held goes running -> todo: its
-- attempts are dead, as the worker kills what it finds of them before it registers.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 node   4 facts (JSON)   5 lease (ms)   6 nodes lost until a task is poison
-- Returns 'ok', or 'again' when more is held than one call returns; then it is to be called again.
local worker, node = ARGV[1], ARGV[3]
call('HDEL', key.incarnations, worker)
local lost = lose_held(worker, node, tonumber(ARGV[6]), 500)
write_counters('lost', lost)
if lost > 0 then wake_workers() end
if call('EXISTS', key.held .. worker) == 1 then return 'again' end
call('DEL', key.revoked .. worker)
call('HSET', key.incarnations, worker, ARGV[2])
call('HSET', key.workers, worker, ARGV[4])
call('ZADD', key.leases, text(now_ms() + tonumber(ARGV[5])), worker)
local facts = cjson.decode(ARGV[4])
if facts.total_memory_bytes then
  call('HSET', key.sizes, worker, text(facts.total_memory_bytes) .. ' ' .. text((facts.total_cores or 0) * 1000))
end
return 'ok'
