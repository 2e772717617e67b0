-- release: the user has mended these nodes: their workers are given tasks again.
--
-- KEYS  1 prefix
-- ARGV  workers
-- Returns how many of them had been in quarantine.
local released, now = 0, text(now_ms())
for _, worker in ipairs(ARGV) do
  if call('HDEL', key.quarantined, worker) == 1 then
    released = released + 1
    -- What failed there before says nothing any more.
    call('HSET', key.released, worker, now)
  end
end
if released > 0 then wake_workers() end
return released
