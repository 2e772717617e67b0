-- cancel: todo | running -> cancelled. A running attempt is taken from its worker, which is told to kill it.
--
-- KEYS  1 prefix
-- ARGV  task ids
-- Returns a word per task: 'ok', 'unknown', or the state it ended in before ('finished', 'failed', 'cancelled').
local replies, cancelled, revoked = {}, 0, {}

local function cancel(id)
  local entry = call('HGET', key.tasks, id)
  if not entry then return 'unknown' end
  local letter, place = sub(entry, 1, 1), sub(entry, 2, 7)
  local state = STATE[letter]
  if state ~= 'todo' and state ~= 'running' then return state end
  local chunk_key = sub(place, 1, 4)
  local header = header_of(chunk_key)
  if state == 'running' then
    local worker = sub(entry, 28)
    call('SREM', key.held .. worker, id)
    local tries = tries_of(id)
    local token, attempt = unpack_struct(RUNNING, entry, 8)
    -- With the token: the worker may have claimed the task anew by the time that it hears of this.
    call('SADD', key.revoked .. worker, id .. pack('>I8', token))
    revoked[worker] = true
    tries.attempts = attempt
    call('HSET', key.tries, id, cjson.encode(tries))
  else
    local class = class_now(header, letter ~= 't' and tries_of(id) or nil)
    count_waiting(class, -1)
    if letter == 'd' then call('ZREM', key.delayed, id) end
    if letter == 'b' then
      call('ZREM', key.queue .. class, 'T' .. id)
      refresh_head(class)
    end
    -- A 't' stays in its range: whoever claims that range finds another letter and goes on.
  end
  call('HSET', key.tasks, id, 'c' .. place)
  call('SADD', key.cancelled, id)
  move_count(header.job, state, 'cancelled')
  return 'ok'
end

for i, id in ipairs(ARGV) do
  replies[i] = cancel(id)
  if replies[i] == 'ok' then cancelled = cancelled + 1 end
end
write_counters('cancelled', cancelled)
-- Those it concerns, by name: nobody else needs to ask.
local names = {}
for worker in pairs(revoked) do names[#names + 1] = worker end
if #names > 0 then call('PUBLISH', key.wake_channel, 'revoked\n' .. table.concat(names, '\n')) end
return replies
