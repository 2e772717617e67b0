-- reconcile: running -> todo, for tasks that the store believes a worker to hold, and that it does not know of.
-- A server that crashed may have lost its last second: reports that it had taken, say. The worker asks after each
-- time that the store was away.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 nodes lost until a task is poison   4.. ids of the tasks that the worker holds
-- Returns how many tasks went back, or 'lease_lost' when this life of the worker was reaped; then nothing is written.
local worker = ARGV[1]
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
local holds = {}
for at = 4, #ARGV do holds[ARGV[at]] = true end
local strangers = {}
for _, id in ipairs(call('SMEMBERS', key.held .. worker)) do
  if not holds[id] then strangers[#strangers + 1] = id end
end
local node = cjson.decode(call('HGET', key.workers, worker)).node
lose(strangers, worker, node, tonumber(ARGV[3]))
write_counters('lost', #strangers)
if #strangers > 0 then wake_workers() end
return #strangers
