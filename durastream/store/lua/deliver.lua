-- Append messages of one source to the inbox, once each.
-- KEYS    inbox, marks
-- ARGV    source, epoch, nonce, then per message: sequence, blob (sequences rising)
-- Returns number of messages taken
-- Errors  none of its own; OOM before anything is written; the inbox's own when its ids are used up, after the messages before it
--@include _clock

local mark = redis.call('HGET', KEYS[2], ARGV[1])
local from = 0
local epoch, nonce, sequence = string.match(mark or '', '^(%d+):([^:]*):(%d+):')
if epoch and #epoch <= 15 then -- a mark that cannot be read, or that no owner can have made, counts as none
  -- A lower epoch is a repeat by someone who owned the source before; equal epochs with other nonces come from a failover.
  if tonumber(ARGV[2]) < tonumber(epoch) then return 0 end
  if epoch == ARGV[2] and nonce == ARGV[3] then from = tonumber(sequence) end
end
local taken, last, failed = 0, nil, nil
for k = 4, #ARGV, 2 do
  if tonumber(ARGV[k]) > from then
    local sent = redis.pcall('XADD', KEYS[1], '*', 'm', ARGV[k + 1])
    if type(sent) == 'table' then
      failed = sent
      break
    end
    taken, last = taken + 1, ARGV[k]
  end
end
if last then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2] .. ':' .. ARGV[3] .. ':' .. last .. ':' .. text(now_ms()))
end
return failed or taken
