-- reconcile: running -> todo, for tasks that the store believes a worker to hold, and that it does not know of.
-- A server that crashed may have lost its last second: reports that it had taken, claims that it had given. The worker
-- asks after each time that the store was away.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 nodes lost until a task is poison
--       4.. what the worker holds: 8 bytes of task id and 8 of token each
-- Returns 'lease_lost' when this life of the worker was reaped; then nothing is written. Else { how many tasks went
-- back, those of 4.. that are not the worker's }: their attempts are to be killed.
local worker = ARGV[1]
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
local holds, not_its_own = {}, {}
for at = 4, #ARGV do
  local id = sub(ARGV[at], 1, 8)
  if owned(call('HGET', key.tasks, id), text((unpack_struct('>I8', ARGV[at], 9)))) then
    holds[id] = true
  else
    not_its_own[#not_its_own + 1] = ARGV[at]
  end
end
local strangers = {}
for _, id in ipairs(call('SMEMBERS', key.held .. worker)) do
  if not holds[id] then strangers[#strangers + 1] = id end
end
lose(strangers, worker, cjson.decode(call('HGET', key.workers, worker)).node, tonumber(ARGV[3]))
write_counters('lost', #strangers)
if #strangers > 0 then wake_workers() end
return { #strangers, not_its_own }
