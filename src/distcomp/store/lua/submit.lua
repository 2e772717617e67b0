-- submit: (none) -> todo. Adds chunks of tasks, each whole or, when any of its tasks is known, not at all.
--
-- KEYS  1 prefix
-- ARGV  1 job   2 number of seqs that the chunks may use
--       then for each chunk: priority (integer), memory (bytes), cores (thousandths),
--       entries (8 bytes of task id and 2 of seq, per task), body (opaque)
-- Returns { flags of each chunk, jobs that know some of the tasks }. Flags are '' when the chunk was added; else a
-- letter per task: '-' unknown, or the state letter of _prelude.lua, in upper case when the task is of this very job.
-- Jobs are 3 numbers each: job, how many of the tasks it knows, of these those with another priority or other needs.
local job, seqs = tonumber(ARGV[1]), tonumber(ARGV[2])
local now = now_ms()
local base = call('INCRBY', key.seq, seqs) - seqs
local flags, known_jobs, added, touched = {}, {}, 0, {}

local function flag_of(entry, priority, memory, millicores)
  if not entry then return '-' end
  local header = header_of(sub(entry, 2, 5))
  local of_job = known_jobs[header.job] or { 0, 0 }
  known_jobs[header.job] = of_job
  of_job[1] = of_job[1] + 1
  if header.priority ~= priority or header.memory ~= memory or header.millicores ~= millicores then
    of_job[2] = of_job[2] + 1
  end
  local letter = sub(entry, 1, 1)
  return header.job == job and string.upper(letter) or letter
end

local function add(priority, memory, millicores, entries, body, ids)
  local chunk_no = call('INCR', key.chunk_no)
  local chunk_key = pack('>I4', chunk_no)
  local fields = {}
  for i = 1, #ids do
    fields[2 * i - 1] = ids[i]
    fields[2 * i] = pack('>c1I4I2', 't', chunk_no, i)
  end
  call('HSET', key.tasks, unpack(fields))
  call('HSET', key.chunks, chunk_key, pack(HEADER, job, base, priority, memory, millicores) .. entries)
  call('HSET', key.bodies, chunk_key, body)
  local class = class_of(memory, millicores)
  local high, low = string.byte(entries, 9, 10)
  call('ZADD', key.queue .. class, text(rank(priority, base + high * 256 + low)), 'R' .. pack('>I4I2I2', chunk_no, 1, #ids))
  touched[class] = true
  count_waiting(class, #ids)
  count(job, 'todo', #ids)
  added = added + #ids
end

for at = 3, #ARGV, 5 do
  local priority, memory, millicores = tonumber(ARGV[at]), tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local entries, ids = ARGV[at + 3], {}
  for i = 1, #entries / ENTRY_BYTES do ids[i] = sub(entries, (i - 1) * ENTRY_BYTES + 1, (i - 1) * ENTRY_BYTES + 8) end
  local known, any = call('HMGET', key.tasks, unpack(ids)), false
  for i = 1, #ids do any = any or known[i] end
  if any then
    local letters = {}
    for i = 1, #ids do letters[i] = flag_of(known[i], priority, memory, millicores) end
    flags[#flags + 1] = table.concat(letters)
  else
    add(priority, memory, millicores, entries, ARGV[at + 4], ids)
    flags[#flags + 1] = ''
  end
end

for class in pairs(touched) do refresh_head(class) end
write_counters('submitted', added)
if added > 0 then
  call('HSETNX', key.stats, 'first_submit_ms', text(now))
  wake_workers()
end
local jobs = {}
for known_job, of_job in pairs(known_jobs) do
  for _, number in ipairs({ known_job, of_job[1], of_job[2] }) do jobs[#jobs + 1] = number end
end
return { flags, jobs }
