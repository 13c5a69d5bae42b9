-- Ask to be told when instances end, and learn how they are now, in one step, so that no ending is missed.
-- KEYS    watch, then one instance key per id
-- ARGV    channel, then the ids
-- Returns per id the instance hash, flat; empty where there is none
-- Errors  none of its own

local final = { Completed = true, Failed = true, Terminated = true }
local records = {}
for k = 2, #KEYS do
  local record = redis.pcall('HGETALL', KEYS[k])
  if record.err then record = {} end -- no instance: the others must not wait in vain for this one
  records[k - 1] = record
  if #record > 0 and not final[redis.call('HGET', KEYS[k], 'status')] then
    local id = ARGV[k]
    local channels = redis.call('HGET', KEYS[1], id)
    if not channels then
      redis.call('HSET', KEYS[1], id, ARGV[1])
    elseif not string.find('\n' .. channels .. '\n', '\n' .. ARGV[1] .. '\n', 1, true) then
      redis.call('HSET', KEYS[1], id, channels .. '\n' .. ARGV[1])
    end
  end
end
return records
