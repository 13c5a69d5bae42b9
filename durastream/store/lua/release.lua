-- Give a lease up, so that another may take it at once.
-- KEYS    lease
-- ARGV    epoch, nonce
-- Returns 1 released, 0 it was not the caller's any more
-- Errors  none of its own

local held = redis.call('HMGET', KEYS[1], 'epoch', 'nonce')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], 'owner', '', 'until', '0')
-- No empty nonce, which a lease could name. Who gives its lease up has not died of what it tried.
redis.call('HDEL', KEYS[1], 'nonce', 'trying')
return 1
