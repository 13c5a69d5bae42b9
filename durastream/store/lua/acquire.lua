-- Take a lease that is free or expired. Each acquisition gets a higher epoch.
-- KEYS    lease
-- ARGV    worker id, nonce, ttl in ms
-- Returns epoch as text, or nil when another holds it
-- Errors  none of its own
--@include _clock
--@include _names

local held = redis.call('HMGET', KEYS[1], 'epoch', 'nonce', 'until', 'owner', 'deaths', 'trying')
local now = now_ms()
local ends = tonumber(held[3] or '0')
if ends > now then
  if held[2] ~= ARGV[2] then return nil end
  return held[1] -- this very call, repeated after a lost reply
end
-- At least the clock: after a failover that forgot an acquisition the next epoch is still a new one.
local epoch = text(math.max(tonumber(held[1] or '0') + 1, now))
-- Owners that die young, one after the other, may die of what waits here; an epoch is the time it began.
local deaths = 0
if held[4] and held[4] ~= '' then
  local young = ends - tonumber(held[1]) <= 2 * ARGV[3]
  deaths = 1 + (young and tonumber(held[5] or '0') or 0)
  if held[6] then
    local entry = 'died:' .. held[6]
    redis.call('HSET', KEYS[1], entry, with_name(redis.call('HGET', KEYS[1], entry) or '', held[4]))
  end
end
redis.call('HSET', KEYS[1], 'owner', ARGV[1], 'nonce', ARGV[2], 'epoch', epoch, 'until', text(now + ARGV[3]), 'seq', '0',
  'deaths', deaths)
redis.call('HDEL', KEYS[1], 'trying') -- not first: without memory a script that begins by deleting is let through
return epoch
