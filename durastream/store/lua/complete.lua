-- Exchange claimed activities for their outcomes.
-- KEYS    inbox, stats, then one activity stream per queue
-- ARGV    per outcome: position of the stream in KEYS, entry id, message
-- Returns number of outcomes that counted; an entry that is gone (late, or completed by another) is skipped
-- Errors  none of its own; the first write, HINCRBY, is one that memory pressure refuses

redis.call('HINCRBY', KEYS[2], 'outcomes', #ARGV / 3)
local counted, acks = 0, {}
for k = 1, #ARGV, 3 do
  local stream = KEYS[tonumber(ARGV[k])]
  -- The deletion decides: of two workers that finish the same activity, one gets 1 and the other 0.
  if redis.call('XDEL', stream, ARGV[k + 1]) == 1 then
    redis.call('XADD', KEYS[1], '*', 'm', ARGV[k + 2])
    counted = counted + 1
  end
  local list = acks[stream] or {}
  acks[stream] = list
  list[#list + 1] = ARGV[k + 1]
end
for stream, ids in pairs(acks) do redis.call('XACK', stream, 'workers', unpack(ids)) end
return counted
