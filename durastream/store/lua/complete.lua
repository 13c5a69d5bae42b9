-- Exchange claimed activities for their outcomes.
-- KEYS    inbox, stats, then one activity stream per queue
-- ARGV    per outcome: position of the stream in KEYS, entry id, message
-- Returns number of outcomes that counted; an entry that is gone (late, or completed by another) is skipped
-- Errors  REFUSED, OOM before anything is written; the inbox's own when its ids are used up, after the outcomes before that one
--@include _types

local wrong = type_error(KEYS[1], 'stream') or type_error(KEYS[2], 'hash')
if wrong then return wrong end
local counted, done, failed = 0, {}, nil
-- One outcome; whether it counted. The entries are deleted at the end, all of a stream at once.
local function exchange(stream, entry, message)
  local list = done[stream] or { seen = {} }
  if list.seen[entry] then return false end
  local sent = redis.pcall('XADD', KEYS[1], '*', 'm', message)
  if type(sent) == 'table' then
    failed = sent
    return false
  end
  -- The claim decides: of two workers that finish the same activity, one gets 1 and the other 0. Where the group was lost with
  -- its claims, the entry itself does. Where the whole stream was, the outcome still counts: nobody else can bring one.
  local mine = redis.pcall('XACK', stream, 'workers', entry)
  if mine == 0 then mine = redis.call('XDEL', stream, entry) end
  if mine == 0 then
    redis.call('XDEL', KEYS[1], sent)
    return false
  end
  if mine == 1 then
    done[stream] = list
    list[#list + 1] = entry
    list.seen[entry] = true
  end
  return true
end

for k = 1, #ARGV, 3 do
  if exchange(KEYS[tonumber(ARGV[k])], ARGV[k + 1], ARGV[k + 2]) then counted = counted + 1 end
  if failed then break end
end
for stream, ids in pairs(done) do redis.call('XDEL', stream, unpack(ids)) end
if counted > 0 then redis.call('HINCRBY', KEYS[2], 'outcomes', counted) end
return failed or counted
