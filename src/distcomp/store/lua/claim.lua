-- claim: todo -> running. Takes tasks for a worker: the highest priority that fits its room, oldest first within one.
-- A class too large for the room is passed over. When it was passed over for too long, or a task of it came back too
-- often, a node that can hold it is given one all the same, and nothing after it, for the worker to make room for it.
--
-- KEYS  1 prefix
-- ARGV  1 worker   2 incarnation   3 node   4 attempts wanted   5 memory (bytes) and 6 cores (thousandths) of room
--       7 memory and 8 cores of the whole node   9 '1': tasks of unknown need wait for those that only the room is too
--       small for, else '0'   10 lease (ms)   11 starving after (ms)   12 chunks the worker knows (4 bytes each)
-- Returns 'lease_lost', or { claims, chunks, ms until the next delayed task is due or -1 }:
--   claims  6 per task: id, token, attempt, chunk, index, tries (JSON or '')
--   chunks  3 per chunk that the worker does not know: chunk, job, body
local worker, node, wanted = ARGV[1], ARGV[3], tonumber(ARGV[4])
local room_memory, room_cores = tonumber(ARGV[5]), tonumber(ARGV[6]) / 1000
local node_memory, node_cores = tonumber(ARGV[7]), tonumber(ARGV[8]) / 1000
local now = now_ms()
if call('HGET', key.incarnations, worker) ~= ARGV[2] then return 'lease_lost' end
call('ZADD', key.leases, text(now + tonumber(ARGV[10])), worker)
if call('HEXISTS', key.quarantined, worker) == 1 then return { {}, {}, -1 } end

-- Entries looked at in one call, so that a million cancelled tasks cannot hold the server up.
local BUDGET = 5000
local budget, claimed, aside = BUDGET, {}, {}

-- Delayed tasks that are due go back to their queues first.
for _, id in ipairs(call('ZRANGEBYSCORE', key.delayed, '-inf', text(now), 'LIMIT', 0, 200)) do
  call('ZREM', key.delayed, id)
  local entry = call('HGET', key.tasks, id)
  if entry and sub(entry, 1, 1) == 'd' then
    local place = sub(entry, 2, 7)
    local _, index = unpack_struct(PLACE, place)
    call('HSET', key.tasks, id, 'b' .. place)
    enqueue_single(id, header_of(sub(place, 1, 4)), index, tries_of(id))
  end
end

-- The classes by rank of their first task.
local classes = {}
local heads = call('ZRANGE', key.heads, 0, -1, 'WITHSCORES')
for i = 1, #heads, 2 do
  local memory, cores = class_needs(heads[i])
  classes[#classes + 1] = { name = heads[i], rank = tonumber(heads[i + 1]), memory = memory, cores = cores }
end

local function fits_room(class) return class.memory <= room_memory and class.cores <= room_cores end
local function fits_node(class) return class.memory <= node_memory and class.cores <= node_cores end
local function is_starving(class)
  if class.starving == nil then
    call('HSETNX', key.passed, class.name, text(now))
    -- A minus: since when one waits that came back too often, which is too long from the start.
    local since = tonumber(call('HGET', key.passed, class.name))
    local longest = tonumber(ARGV[11])
    local waited = since < 0 and now + since + longest or now - since
    -- It is likely to need more than is known: for a while, it waits for a node that has some to spare.
    local has_spare = class.memory * STARVING.spare <= node_memory
    class.starving = waited >= longest and (has_spare or waited >= 2 * longest)
  end
  return class.starving
end

-- Up to which rank tasks of unknown need may go: those before them that wait for room are larger.
local function unknown_limit()
  local limit = math.huge
  if ARGV[9] ~= '1' then return limit end
  for _, class in ipairs(classes) do
    if class.rank and class.memory > room_memory and fits_node(class) then limit = math.min(limit, class.rank) end
  end
  return limit
end

-- The best class that fits, and the rank at which another that fits would be better.
local function choose()
  local best, limit, waiting = nil, math.huge, unknown_limit()
  for _, class in ipairs(classes) do
    local may_go = class.rank and (class.memory > 0 or class.rank < waiting)
    if may_go and (fits_room(class) or (fits_node(class) and is_starving(class))) then
      if not best then
        best = class
      elseif class.rank < best.rank then
        best, limit = class, best.rank
      else
        limit = math.min(limit, class.rank)
      end
    end
  end
  if best and best.memory == 0 then limit = math.min(limit, waiting) end
  return best, limit
end

local function take(class, id, header, place, tries_raw)
  claimed[#claimed + 1] = { id = id, header = header, place = place, tries = tries_raw or '' }
  room_memory, room_cores = room_memory - class.memory, room_cores - class.cores
  count_waiting(class.name, -1)
  move_count(header.job, 'todo', 'running')
  class.taken = true
end

local has_other_node, shunned_until
-- Looked up once, and only if it matters.
local function is_other_node_there()
  if has_other_node == nil then has_other_node = find_node(now, { [node] = true }) ~= nil end
  return has_other_node
end

-- May the task not run here? For ever, as it cannot even start here, or for a while, as it failed here last.
local function is_away(tries_raw)
  if not tries_raw then return false end
  local tries = cjson.decode(tries_raw)
  if tries.shun == node and now < tries.shun_until and is_other_node_there() then
    shunned_until = math.min(shunned_until or math.huge, tries.shun_until)
    return true
  end
  for _, name in ipairs(tries.away or {}) do
    if name == node then return true end
  end
  return false
end

-- A task with a queue entry of its own.
local function take_single(class, queue, member, score)
  call('ZREM', queue, member)
  budget = budget - 1
  local id = sub(member, 2)
  local entry = call('HGET', key.tasks, id)
  if not entry or sub(entry, 1, 1) ~= 'b' then return end
  local tries_raw = call('HGET', key.tries, id)
  if is_away(tries_raw) then
    aside[#aside + 1] = { queue = queue, member = member, score = score, class = class.name }
    return
  end
  local place = sub(entry, 2, 7)
  take(class, id, header_of(sub(place, 1, 4)), place, tries_raw)
end

-- How many tasks of this class the room holds; one at least, as the class was chosen.
local function most_of(class)
  local most = wanted - #claimed
  if class.memory > 0 then most = math.min(most, math.floor(room_memory / class.memory)) end
  if class.cores > 0 then most = math.min(most, math.floor(room_cores / class.cores)) end
  return math.max(most, 1)
end

-- Tasks from the front of a range, as long as their rank is below `limit`.
local function take_range(class, queue, member, limit)
  local chunk_no, from, to = unpack_struct('>I4I2I2', member, 2)
  local chunk_key = sub(member, 2, 5)
  local header = header_of(chunk_key)
  call('ZREM', queue, member)
  if not header then
    budget = budget - 1
    return
  end
  local ids, next_rank, index = {}, nil, from
  local most = most_of(class)
  while index <= to do
    local id, seq = chunk_task(header, index)
    next_rank = rank(header.priority, seq)
    if #ids >= most or (index > from and next_rank > limit) then break end
    ids[#ids + 1] = id
    index = index + 1
  end
  if index <= to then
    call('ZADD', queue, text(next_rank), 'R' .. pack('>I4I2I2', chunk_no, index, to))
  end
  budget = budget - #ids
  local entries = call('HMGET', key.tasks, unpack(ids))
  for i, id in ipairs(ids) do
    local place = pack(PLACE, chunk_no, from + i - 1)
    -- Anything else was cancelled, forgotten or has its own entry since.
    if entries[i] == 't' .. place then take(class, id, header, place, nil) end
  end
end

local function take_from(class, limit)
  local queue = key.queue .. class.name
  local first = call('ZRANGE', queue, 0, 1, 'WITHSCORES')
  if first[1] then
    if sub(first[1], 1, 1) == 'T' then
      take_single(class, queue, first[1], first[2])
    else
      take_range(class, queue, first[1], math.min(limit, tonumber(first[4] or math.huge)))
    end
  end
  local head = call('ZRANGE', queue, 0, 0, 'WITHSCORES')
  class.rank = tonumber(head[2])
  class.changed = true
end

while #claimed < wanted and budget > 0 and #aside < 1000 do
  local class, limit = choose()
  if not class then break end
  local needs_room = not fits_room(class)
  take_from(class, limit)
  if needs_room and class.taken then break end
end

for _, held in ipairs(aside) do call('ZADD', held.queue, held.score, held.member) end
for _, class in ipairs(classes) do
  if class.changed then refresh_head(class.name) end
  if class.taken then call('HDEL', key.passed, class.name) end
end

-- Write the claims.
local claims, chunks, known = {}, {}, {}
for at = 1, #ARGV[12], 4 do known[sub(ARGV[12], at, at + 3)] = true end
if #claimed > 0 then
  -- From the clock, so that a server that lost its last second in a crash does not give a token twice.
  local time = call('TIME')
  local token = math.max(tonumber(call('GET', key.token_no) or 0), time[1] * 1000000 + time[2])
  call('SET', key.token_no, text(token + #claimed))
  local fields, ids = {}, {}
  for i, task in ipairs(claimed) do
    token = token + 1
    local attempt = (task.tries ~= '' and cjson.decode(task.tries).attempts or 0) + 1
    local chunk_key = sub(task.place, 1, 4)
    local chunk_no, index = unpack_struct(PLACE, task.place)
    ids[i] = task.id
    fields[2 * i - 1] = task.id
    fields[2 * i] = 'r' .. task.place .. pack(RUNNING, token, attempt, now) .. worker
    for _, value in ipairs({ task.id, token, attempt, chunk_no, index, task.tries }) do claims[#claims + 1] = value end
    if not known[chunk_key] then
      known[chunk_key] = true
      for _, value in ipairs({ chunk_no, task.header.job, call('HGET', key.bodies, chunk_key) }) do chunks[#chunks + 1] = value end
    end
  end
  call('HSET', key.tasks, unpack(fields))
  call('SADD', key.held .. worker, unpack(ids))
end
write_counters('claimed', #claimed)

-- Out of budget: there may be more, so ask again at once.
local next_due = -1
if budget <= 0 and #claimed < wanted then
  next_due = 0
else
  local due = call('ZRANGE', key.delayed, 0, 0, 'WITHSCORES')
  local first = math.min(tonumber(due[2] or math.huge), shunned_until or math.huge)
  if first < math.huge then next_due = math.max(0, math.ceil(first - now)) end
end
return { claims, chunks, next_due }
