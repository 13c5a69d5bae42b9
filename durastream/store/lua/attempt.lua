-- Note which entry an owner is about to try, for the next owner, should it die of it.
-- KEYS    lease
-- ARGV    epoch, nonce, entry ('' = none any more)
-- Returns nil
-- Errors  FENCED
--@include _fence

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local before = redis.call('HGET', KEYS[1], 'trying')
if before and before ~= ARGV[3] then redis.call('HDEL', KEYS[1], 'died:' .. before) end -- the caller got over it
if ARGV[3] == '' then
  redis.call('HDEL', KEYS[1], 'trying')
else
  redis.call('HSET', KEYS[1], 'trying', ARGV[3])
end
return nil
