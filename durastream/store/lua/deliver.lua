-- Append messages of one source to the inbox, once each.
-- KEYS    inbox, marks
-- ARGV    source, epoch, nonce, then per message: sequence, blob (sequences rising)
-- Returns number of messages taken
-- Errors  none of its own; OOM before anything is written
--@include _clock

local mark = redis.call('HGET', KEYS[2], ARGV[1])
local from = 0
if mark then
  local epoch, nonce, sequence = string.match(mark, '^(%d+):([^:]*):(%d+):')
  -- A lower epoch is a repeat by someone who owned the source before; equal epochs with other nonces come from a failover.
  if tonumber(ARGV[2]) < tonumber(epoch) then return 0 end
  if epoch == ARGV[2] and nonce == ARGV[3] then from = tonumber(sequence) end
end
local taken = 0
for k = 4, #ARGV, 2 do
  if tonumber(ARGV[k]) > from then
    redis.call('XADD', KEYS[1], '*', 'm', ARGV[k + 1])
    taken = taken + 1
  end
end
if taken > 0 then
  local seen = text(now_ms())
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3] .. ':' .. ARGV[#ARGV - 1] .. ':' .. seen)
end
return taken
