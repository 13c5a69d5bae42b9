-- Give claimed activities back: to their own queue, or to another (one that only workers knowing the name read).
-- KEYS    queues, then pairs of streams: from, to
-- ARGV    per entry: entry id, queue it goes to
-- Returns number of entries moved
-- Errors  REFUSED before anything is written; those of a stream that takes nothing, after the entries before that one
--@include _types

local wrong = type_error(KEYS[1], 'set')
if wrong then return wrong end
local moved = 0
for k = 1, #ARGV, 2 do
  local from, to = KEYS[k + 1], KEYS[k + 2]
  local entry = redis.call('XRANGE', from, ARGV[k], ARGV[k])[1]
  if entry then
    redis.call('XADD', to, '*', unpack(entry[2]))
    redis.call('SADD', KEYS[1], ARGV[k + 1])
    redis.call('XACK', from, 'workers', ARGV[k])
    redis.call('XDEL', from, ARGV[k])
    moved = moved + 1
  end
end
return moved
