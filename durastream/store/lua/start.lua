-- Create instances that are absent, each with its first message, all in one step.
-- KEYS    inbox, timers, index of Pending, then one instance key per item
-- ARGV    per item: id, execution id, token, start_at ('' = now), message, n, n fields and values
-- Returns per item {1|0 created, execution id, status}; 1 also for an item that this same token created before
-- Errors  none of its own; OOM before anything is written
--@include _clock
--@include _create

local keys = { inbox = KEYS[1], timers = KEYS[2], pending = KEYS[3] }
local now = text(now_ms())
local results, at, fresh = {}, 1, {}
for k = 4, #KEYS do
  local seen = fresh[KEYS[k]] or existing(KEYS[k], ARGV[at + 2])
  if seen then
    results[k - 3] = seen
  else
    results[k - 3] = { 1, ARGV[at + 1], 'Pending' }
    fresh[KEYS[k]] = { 0, ARGV[at + 1], 'Pending' }
    fresh[k] = at
  end
  at = at + 6 + tonumber(ARGV[at + 5])
end
for k = 4, #KEYS do
  if fresh[k] then create(keys, KEYS[k], now, fresh[k]) end
end
return results
