-- Note which entry an owner is about to try, for the next owner, should it die of it.
-- KEYS    lease
-- ARGV    epoch, nonce, entry ('' = none any more)
-- Returns how many owners have tried this entry and did not get over it, the caller included
-- Errors  FENCED
--@include _fence

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local held = redis.call('HMGET', KEYS[1], 'trying', 'tried_by')
local before, by = held[1] or '', held[2]
if before ~= '' and by ~= ARGV[1] then
  redis.call('HINCRBY', KEYS[1], 'died:' .. before, 1)
elseif before ~= '' and before ~= ARGV[3] then
  redis.call('HDEL', KEYS[1], 'died:' .. before) -- the caller got over it
end
redis.call('HSET', KEYS[1], 'trying', ARGV[3], 'tried_by', ARGV[1])
return 1 + (tonumber(redis.call('HGET', KEYS[1], 'died:' .. ARGV[3])) or 0)
