-- What the scripts share. Goes before each of them, after the table `key` (keys.py).
--
-- A task's entry in key.tasks is a state letter, its place, and what the state needs:
--   t  todo, never tried           place
--   b  todo, was tried before      place          (its queue entry is its own: 'T' .. id)
--   d  todo, waits for its time    place          (in key.delayed)
--   r  running                     place, token, attempt, claimed at ms, worker
--   f  finished   x failed   c cancelled          place, outcome (msgpack; '' when it never ran)
-- A place is 6 bytes: chunk number, index in the chunk from 1.
local call, pack, unpack_struct, sub = redis.call, struct.pack, struct.unpack, string.sub
local PLACE, RUNNING, HEADER = '>I4I2', '>I8I4I8', '>I4I8i4I8I4'
local HEADER_BYTES, ENTRY_BYTES = 28, 10
local PAST_KEPT = 20

-- The state that a letter stands for.
local STATE = { t = 'todo', b = 'todo', d = 'todo', r = 'running', f = 'finished', x = 'failed', c = 'cancelled' }

local function now_ms()
  local time = call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Numbers to text in full: Lua's own form turns 1700000000000 into 1.7e+12.
local function text(number) return string.format('%.0f', number) end

-- Order of claiming: larger priority first, then older. Exact in a double: 21 bits of priority, 32 of seq.
local function rank(priority, seq) return seq - priority * 4294967296 end

-- A class is what tasks need: '<memory bytes>:<thousandths of a core>'.
local function class_of(memory_bytes, millicores) return text(memory_bytes) .. ':' .. text(millicores) end
local function class_needs(class)
  local memory, cores = string.match(class, '^(%d+):(%d+)$')
  return tonumber(memory), tonumber(cores) / 1000
end

local headers = {}
-- The chunk's header: job, seq, priority, memory, millicores, raw. nil when the chunk is gone.
local function header_of(chunk_key)
  local header = headers[chunk_key]
  if header == nil then
    local raw = call('HGET', key.chunks, chunk_key)
    if not raw then return nil end
    local job, seq, priority, memory, millicores = unpack_struct(HEADER, raw)
    header = { job = job, seq = seq, priority = priority, memory = memory, millicores = millicores, raw = raw }
    headers[chunk_key] = header
  end
  return header
end

local function chunk_size(header) return (#header.raw - HEADER_BYTES) / ENTRY_BYTES end

-- Id and seq of the chunk's task number `index`.
local function chunk_task(header, index)
  local at = HEADER_BYTES + (index - 1) * ENTRY_BYTES
  local high, low = string.byte(header.raw, at + 9, at + 10)
  return sub(header.raw, at + 1, at + 8), header.seq + high * 256 + low
end

-- What earlier attempts left, or a new table.
local function tries_of(id)
  local raw = call('HGET', key.tries, id)
  return raw and cjson.decode(raw) or { attempts = 0, failures = 0, returns = 0, need_bytes = 0 }
end

local function class_now(header, tries)
  return class_of(math.max(header.memory, tries and tries.need_bytes or 0), header.millicores)
end

-- Keep key.heads true after the class's queue has changed.
local function refresh_head(class)
  local first = call('ZRANGE', key.queue .. class, 0, 0, 'WITHSCORES')
  if first[1] then
    call('ZADD', key.heads, first[2], class)
  else
    call('ZREM', key.heads, class)
    call('HDEL', key.passed, class)
  end
end

-- Changes of counters are gathered and written once, at the end of a script.
local counted, summed, wait_counted = {}, {}, {}
local function count(job, state, by)
  counted[state] = (counted[state] or 0) + by
  local of_job = text(job) .. ':' .. state
  counted[of_job] = (counted[of_job] or 0) + by
end
local function move_count(job, from, to)
  count(job, from, -1)
  count(job, to, 1)
end
local function add_stat(name, by) summed[name] = (summed[name] or 0) + by end
local function count_waiting(class, by) wait_counted[class] = (wait_counted[class] or 0) + by end

local function write_counters(event, number)
  for name, by in pairs(counted) do
    if by ~= 0 then call('HINCRBY', key.counts, name, by) end
  end
  for name, by in pairs(summed) do
    if by ~= 0 then call('HINCRBY', key.stats, name, text(by)) end
  end
  for class, by in pairs(wait_counted) do
    if by ~= 0 and call('HINCRBY', key.waiting, class, by) == 0 then call('HDEL', key.waiting, class) end
  end
  if number > 0 then call('XADD', key.events, 'MAXLEN', '~', 4096, '*', 'event', event, 'tasks', number) end
end

-- There is work. It costs a message to each worker and a claim of each that has room, so where they are many it is said
-- seldom: no more often than every RING_MS for each. Who has room asks with its next heartbeat anyway, and the more they
-- are, the sooner one of them does.
local FEW_WORKERS, RING_MS = 50, 1
local function wake_workers()
  local workers = call('ZCARD', key.leases)
  if workers > FEW_WORKERS then
    local now, last = now_ms(), tonumber(call('GET', key.rung_at) or 0)
    if now >= last and now - last < workers * RING_MS then return end
    call('SET', key.rung_at, text(now))
  end
  call('PUBLISH', key.wake_channel, 'work')
end

local nodes_seen, workers_seen = {}, 0
-- A node with a live worker that is given tasks, and not one of the barred (a set); nil if there is none. Looks at no
-- more workers than it takes to find one, and at each once in a script.
local function find_node(now, barred)
  for _, node in ipairs(nodes_seen) do
    if not barred[node] then return node end
  end
  while true do
    local page = call('ZREVRANGEBYSCORE', key.leases, '+inf', text(now), 'LIMIT', workers_seen, 10)
    local found = nil
    for _, worker in ipairs(page) do
      workers_seen = workers_seen + 1
      local facts = call('HEXISTS', key.quarantined, worker) == 0 and call('HGET', key.workers, worker)
      if facts then
        local node = cjson.decode(facts).node
        nodes_seen[#nodes_seen + 1] = node
        if not barred[node] then found = node end
      end
    end
    if found or #page == 0 then return found end
  end
end

-- A worker's node, as far as it has said so.
local function node_of(worker)
  local facts = call('HGET', key.workers, worker)
  return facts and cjson.decode(facts).node
end

-- When each worker's last attempt that came to an end of its own succeeded, or, below 0, failed: what `quarantine` and
-- `doubt` compare with.
local function note_success(worker, now) call('ZADD', key.lately, text(now), worker) end
local function note_failure(worker, now) call('ZADD', key.lately, text(-now), worker) end

-- Put a task that was tried before, or came back, into its queue.
local function enqueue_single(id, header, index, tries)
  local class = class_now(header, tries)
  local _, seq = chunk_task(header, index)
  call('ZADD', key.queue .. class, text(rank(header.priority, seq)), 'T' .. id)
  refresh_head(class)
  return class
end

-- A node makes room for the first of this task's class as soon as one asks that can hold it.
local function hurry(header, tries)
  local class = class_now(header, tries)
  local since = tonumber(call('HGET', key.passed, class) or 0)
  if since >= 0 then call('HSET', key.passed, class, text(-now_ms())) end
end

-- The place, header and worker of a running attempt, if the token is its own; nil when another owns the task.
local function owned(entry, token)
  if not entry or sub(entry, 1, 1) ~= 'r' then return nil end
  local owner_token, attempt, claimed_at = unpack_struct(RUNNING, entry, 8)
  if text(owner_token) ~= token then return nil end
  local place = sub(entry, 2, 7)
  local chunk_key = sub(place, 1, 4)
  local _, index = unpack_struct(PLACE, place)
  return {
    place = place, header = header_of(chunk_key), index = index, attempt = attempt,
    claimed_at = claimed_at, worker = sub(entry, 28),
  }
end

local function remember_past(id, outcome)
  if outcome == '' then return end
  call('RPUSH', key.past .. id, outcome)
  call('LTRIM', key.past .. id, -PAST_KEPT, -1)
end

-- An attempt is over: its cause, and what it took (ms).
local function count_attempt(cause, wall, cpu)
  add_stat('attempts:' .. cause, 1)
  add_stat('wall_ms:' .. cause, wall)
  add_stat('cpu_ms:' .. cause, cpu)
end

local function count_ends(now, number)
  local span = key.rate .. text(math.floor(now / 1000))
  call('INCRBY', span, number)
  call('EXPIRE', span, 120)
end

-- running -> todo, at once: the common part of give_back, reap and register.
local function return_to_todo(id, attempt, tries)
  call('HSET', key.tries, id, cjson.encode(tries))
  call('HSET', key.tasks, id, 'b' .. attempt.place)
  call('SREM', key.held .. attempt.worker, id)
  count_waiting(enqueue_single(id, attempt.header, attempt.index, tries), 1)
  move_count(attempt.header.job, 'running', 'todo')
end

-- running -> todo, or -> failed when too many nodes were lost under the task: what a dead worker held.
local function lose(ids, worker, node, poison_after)
  local now = now_ms()
  for _, id in ipairs(ids) do
    local entry = call('HGET', key.tasks, id)
    local attempt, tries = owned(entry, text((unpack_struct('>I8', entry, 8)))), tries_of(id)
    local lost_on, is_new = tries.lost_on or {}, true
    for _, name in ipairs(lost_on) do is_new = is_new and name ~= node end
    if is_new then lost_on[#lost_on + 1] = node end
    tries.attempts, tries.returns, tries.lost_on = attempt.attempt, tries.returns + 1, lost_on
    local is_poison = #lost_on >= poison_after
    local outcome = cmsgpack.pack({
      cause = 'lost', node = node, attempt = attempt.attempt, started_at_ms = attempt.claimed_at, ended_at_ms = now,
      reason = is_poison and ('lost with its node on ' .. #lost_on .. ' nodes: ' .. table.concat(lost_on, ', '))
        or ('the worker on ' .. node .. ' fell silent'),
    })
    add_stat('attempts:lost', 1)
    add_stat('wall_ms:lost', math.max(0, now - attempt.claimed_at))
    if is_poison then
      call('HSET', key.tries, id, cjson.encode(tries))
      call('HSET', key.tasks, id, 'x' .. attempt.place .. outcome)
      call('SREM', key.held .. worker, id)
      call('SADD', key.failed, id)
      move_count(attempt.header.job, 'running', 'failed')
    else
      remember_past(id, outcome)
      return_to_todo(id, attempt, tries)
    end
  end
end

-- As `lose`, for at most `most` of the tasks that the worker holds; how many they were.
local function lose_held(worker, node, poison_after, most)
  local ids = call('SRANDMEMBER', key.held .. worker, most)
  lose(ids, worker, node, poison_after)
  return #ids
end
