-- Say that a worker lives, and learn who else does. A hub whose settings are gone (FLUSHALL, keys deleted by hand) is made again
-- as this worker knows it: else whoever comes next would make it with others, and half of the work would go where nobody looks.
-- KEYS    workers, about, settings
-- ARGV    worker id, about (JSON), ttl in ms, age in ms after which a silent worker is forgotten, partitions, then fields and
--         values of the settings
-- Returns {now as text, 1 if the settings were made again, then for each live worker: id, time seen, about}
-- Errors  MISMATCH by now the hub has another number of partitions
--@include _clock

local partitions = redis.pcall('HGET', KEYS[3], 'partitions')
if type(partitions) == 'string' and partitions:match('^[1-9]%d?%d?%d?$') and partitions ~= ARGV[5] then
  return redis.error_reply('MISMATCH the hub was made anew with ' .. partitions .. ' partitions, this worker knows ' .. ARGV[5])
end
local made = 0
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('HSET', KEYS[3], unpack(ARGV, 6))
  made = 1
end
local now = now_ms()
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[1], text(now), ARGV[1])
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', text(now - ARGV[4]), 'LIMIT', 0, 100)) do
  redis.call('ZREM', KEYS[1], id)
  redis.call('HDEL', KEYS[2], id)
end
-- One seen in the future was written by a forger, or before the clock was set back: it is silent from now on, like any other.
for _, id in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. text(now), '+inf', 'LIMIT', 0, 100)) do
  redis.call('ZADD', KEYS[1], text(now), id)
end
local reply = { text(now), made }
local live = redis.call('ZRANGEBYSCORE', KEYS[1], text(now - ARGV[3]), '+inf', 'WITHSCORES')
for k = 1, #live, 2 do
  reply[#reply + 1] = live[k]
  reply[#reply + 1] = live[k + 1]
  reply[#reply + 1] = redis.call('HGET', KEYS[2], live[k]) or '{}'
end
return reply
