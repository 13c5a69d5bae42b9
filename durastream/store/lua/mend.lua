-- Mend streams whose ids somebody has spoilt by an entry with an id far ahead: no id of ours would be accepted any more.
-- KEYS    lease, inbox, outbox
-- ARGV    epoch, nonce, grace in ms, limit
-- Returns {1 when the inbox was mended (its entries are numbered lower again), entries taken out of the outbox, as XRANGE gives them}
-- Errors  FENCED
--@include _fence
--@include _clock

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end

-- {milliseconds of the last id ever, number of entries}; nil where there is no stream.
local function last_of(key)
  local info = redis.pcall('XINFO', 'STREAM', key)
  if info.err then return nil end
  local ms, length = 0, 0
  for k = 1, #info, 2 do
    if info[k] == 'last-generated-id' then ms = tonumber(string.match(info[k + 1], '^%d+')) end
    if info[k] == 'length' then length = info[k + 1] end
  end
  return ms, length
end

local now, mended = now_ms(), 0
local ms, length = last_of(KEYS[2])
-- Only when its owner has read it empty: what stands there is not lost by this.
if ms and length == 0 and ms > now + ARGV[3] then
  redis.call('DEL', KEYS[2])
  mended = 1
end
-- In the outbox an owner's ids begin with its epoch; what comes after them is none of ours. The stream is written anew: XSETID
-- lowers no id below that of a deleted entry. While ours are too many for that, it waits until they are delivered.
local foreign = {}
ms, length = last_of(KEYS[3])
if ms and ms > tonumber(ARGV[1]) and length <= tonumber(ARGV[4]) then
  local entries = redis.call('XRANGE', KEYS[3], '-', '+')
  redis.call('DEL', KEYS[3])
  for _, entry in ipairs(entries) do
    local from = tonumber(string.match(entry[1], '^%d+'))
    if from > tonumber(ARGV[1]) then
      foreign[#foreign + 1] = entry
    else
      redis.call('XADD', KEYS[3], entry[1], unpack(entry[2]))
    end
  end
end
return { mended, foreign }
