-- Forget marks of clients that have been silent for long. One step of a walk through the marks.
-- KEYS    lease, marks
-- ARGV    epoch, nonce, silence in ms, cursor, count
-- Returns {next cursor, number of marks forgotten}
-- Errors  FENCED
--@include _fence
--@include _clock

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local oldest = now_ms() - ARGV[3]
local found = redis.call('HSCAN', KEYS[2], ARGV[4], 'COUNT', ARGV[5])
local gone = {}
for k = 1, #found[2], 2 do
  local seen = tonumber(string.match(found[2][k + 1], ':(%d+)$') or '0')
  if string.sub(found[2][k], 1, 2) == 'c:' and seen < oldest then gone[#gone + 1] = found[2][k] end
end
if #gone > 0 then redis.call('HDEL', KEYS[2], unpack(gone)) end
return { found[1], #gone }
