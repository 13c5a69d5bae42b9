-- Create instances that are absent, each with its first message, all in one step.
-- KEYS    inbox, timers, index of Pending, then one instance key per item
-- ARGV    per item: id, execution id, token, start_at ('' = now), message, n, n fields and values
-- Returns per item {1|0 created, execution id, status}; 1 also for an item that this same token created before
-- Errors  REFUSED, OOM before anything is written; the inbox's own when its ids are used up, after the items before that one
--@include _clock
--@include _create

local keys = { inbox = KEYS[1], timers = KEYS[2], pending = KEYS[3], created = {} }
local wrong = unfit(keys)
if wrong then return wrong end
local now = text(now_ms())
-- Mostly none of them exists: one call says so for all.
local some_exist = redis.call('EXISTS', unpack(KEYS, 4)) > 0
local results, at, fresh = {}, 1, {}
for k = 4, #KEYS do
  local key, token = KEYS[k], ARGV[at + 2]
  local made = fresh[key] -- by an item of this batch
  local seen = made and { made.token == token and 1 or 0, made.execution, 'Pending' }
    or (some_exist and existing(key, token))
  if seen then
    results[k - 3] = seen
  else
    results[k - 3] = { 1, ARGV[at + 1], 'Pending' }
    fresh[key] = { token = token, execution = ARGV[at + 1] }
    fresh[k] = at
  end
  at = at + 6 + tonumber(ARGV[at + 5])
end
local failed
for k = 4, #KEYS do
  if fresh[k] and not failed then failed = create(keys, KEYS[k], now, fresh[k]) end
end
index_created(keys)
return failed or results
