-- Included: the server's time in milliseconds, as a number below 2^53, and as text without an exponent.
local function now_ms()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function text(n) return string.format('%.0f', n) end
