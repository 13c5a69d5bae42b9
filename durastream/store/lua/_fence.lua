-- Included: is the caller still the owner? A lease hash holds epoch and nonce; both must be the caller's.
-- Both are compared as strings, so that no precision is lost.
local function fence_error(lease_key, epoch, nonce)
  local held = redis.call('HMGET', lease_key, 'epoch', 'nonce')
  if held[1] == epoch and held[2] == nonce then return nil end
  return redis.error_reply('FENCED partition is owned by epoch ' .. (held[1] or 'none'))
end
