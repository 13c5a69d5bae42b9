-- Take ingress entries into a partition, once each, from the one router that may.
-- KEYS    routed, inbox, timers, index of Pending, then an instance key for each start
-- ARGV    epoch of the router, f, f ingress ids that are gone from the ingress stream, then per entry:
--         ingress id, 'm', blob   or   ingress id, 's', id, execution id, token, start_at, message, n, n fields and values
-- Returns per entry {1|0 created, execution id, status}, or 1 for a message
-- Errors  FENCED when a router with a higher epoch has been here; REFUSED before anything is written; the inbox's own when its
--         ids are used up, after the entries before that one
--@include _clock
--@include _create

local highest = redis.call('HGET', KEYS[1], 'epoch')
if highest and tonumber(highest) > tonumber(ARGV[1]) then
  return redis.error_reply('FENCED ingress is routed by epoch ' .. highest)
end
local keys = { inbox = KEYS[2], timers = KEYS[3], pending = KEYS[4], created = {} }
local gone = tonumber(ARGV[2])
local wrong = #ARGV > 2 + gone and unfit(keys)
if wrong then return wrong end
local now = text(now_ms())
redis.call('HSET', KEYS[1], 'epoch', ARGV[1])
if gone > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV, 3, 2 + gone)) end

local results, at, key, failed = {}, 3 + gone, 5, nil
while at <= #ARGV do
  local entry, kind = ARGV[at], ARGV[at + 1]
  local again = redis.call('HEXISTS', KEYS[1], entry) == 1
  if kind == 'm' then
    if not again then
      local sent = redis.pcall('XADD', keys.inbox, '*', 'm', ARGV[at + 2])
      if type(sent) == 'table' then failed = sent end
    end
    results[#results + 1] = 1
    at = at + 3
  else
    local seen = existing(KEYS[key], ARGV[at + 4])
    if again then
      seen = seen or { 1, ARGV[at + 3], 'Pending' } -- or it was purged since
    elseif not seen then
      failed = create(keys, KEYS[key], now, at + 2)
      seen = { 1, ARGV[at + 3], 'Pending' }
    end
    results[#results + 1] = seen
    key = key + 1
    at = at + 8 + tonumber(ARGV[at + 7])
  end
  if failed then break end
  redis.call('HSET', KEYS[1], entry, '1')
end
index_created(keys)
return failed or results
