-- Note which entry an owner is about to try, for the next owner, should it die of it.
-- KEYS    lease
-- ARGV    epoch, nonce, entry ('' = none any more)
-- Returns how many owners in a row have tried this entry, the caller included
-- Errors  FENCED
--@include _fence

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local held = redis.call('HMGET', KEYS[1], 'trying', 'tries', 'tried_by')
local tries = 1
if held[1] == ARGV[3] then
  tries = tonumber(held[2])
  if held[3] ~= ARGV[1] then tries = tries + 1 end -- else it is this very call, repeated
end
redis.call('HSET', KEYS[1], 'trying', ARGV[3], 'tries', tries, 'tried_by', ARGV[1])
return tries
