-- Timers that are due by the server's clock, and when the next one will be.
-- KEYS    lease, timers
-- ARGV    epoch, nonce, limit
-- Returns {members due, oldest first; due time of the next as text, or ''}
-- Errors  FENCED
--@include _fence
--@include _clock

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local now = text(now_ms())
local members = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, ARGV[3])
local next_one = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
return { members, next_one[2] or '' }
