-- Give a lease up, so that another may take it at once.
-- KEYS    lease
-- ARGV    epoch, nonce
-- Returns 1 released, 0 it was not the caller's any more
-- Errors  none of its own

local held = redis.call('HMGET', KEYS[1], 'epoch', 'nonce')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'nonce', '', 'until', '0')
return 1
