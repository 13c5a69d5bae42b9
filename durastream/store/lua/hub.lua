-- Create a hub's settings unless they exist.
-- KEYS    settings
-- ARGV    fields and values
-- Returns 1 created, 0 it existed
-- Errors  none of its own
--@include _clock

if redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('HSET', KEYS[1], 'created_at', text(now_ms()), unpack(ARGV))
return 1
