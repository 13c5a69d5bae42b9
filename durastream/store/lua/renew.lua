-- Prolong a lease that is still held. One that has expired is not renewed: its holder must acquire anew.
-- KEYS    lease
-- ARGV    epoch, nonce, ttl in ms, commits that the caller knows to be applied
-- Returns 1 prolonged, 0 lost; also lost when the store has forgotten commits: what the caller has in memory is void
-- Errors  none of its own
--@include _clock

local held = redis.call('HMGET', KEYS[1], 'epoch', 'nonce', 'until', 'seq')
local now = now_ms()
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] or tonumber(held[3] or '0') <= now then return 0 end
if tonumber(held[4] or '0') < tonumber(ARGV[4]) then return 0 end
redis.call('HSET', KEYS[1], 'until', text(now + ARGV[3]))
return 1
