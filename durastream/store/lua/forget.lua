-- Remove outbox entries that have been delivered.
-- KEYS    lease, outbox
-- ARGV    epoch, nonce, then entry ids
-- Returns number of entries removed
-- Errors  FENCED
--@include _fence

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
if #ARGV < 3 then return 0 end
return redis.call('XDEL', KEYS[2], unpack(ARGV, 3))
