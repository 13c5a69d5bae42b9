-- Say that a worker lives, and learn who else does.
-- KEYS    workers, about
-- ARGV    worker id, about (JSON), ttl in ms, age in ms after which a silent worker is forgotten
-- Returns {now as text, then for each live worker: id, time seen, about}
-- Errors  none of its own
--@include _clock

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
local reply = { text(now) }
local live = redis.call('ZRANGEBYSCORE', KEYS[1], text(now - ARGV[3]), '+inf', 'WITHSCORES')
for k = 1, #live, 2 do
  reply[#reply + 1] = live[k]
  reply[#reply + 1] = live[k + 1]
  reply[#reply + 1] = redis.call('HGET', KEYS[2], live[k]) or '{}'
end
return reply
