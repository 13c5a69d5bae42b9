-- Take ingress entries into a partition, once each, from the one router that may.
-- KEYS    routed, inbox, timers, index of Pending, then an instance key for each start
-- ARGV    epoch of the router, turn, f, f ingress ids that are gone from the ingress stream, then per entry:
--         ingress id, 'm', blob   or   ingress id, 's', id, execution id, token, start_at, message, n, n fields and values
-- Returns per entry {1|0 created, execution id, status}, or 1 for a message
-- Errors  FENCED when a router with a higher epoch, or a later turn of this one, has been here; REFUSED before anything is
--         written; the inbox's own when its ids are used up, after the entries before that one
--@include _clock
--@include _create

local seen = redis.call('HMGET', KEYS[1], 'epoch', 'turn')
local highest, epoch, turn = tonumber(seen[1] or '0'), tonumber(ARGV[1]), tonumber(ARGV[2])
if highest and highest > epoch then
  return redis.error_reply('FENCED ingress is routed by epoch ' .. seen[1])
end
-- What was forgotten could not be told from something new: a call that comes after its successor has no effect.
if highest == epoch and (tonumber(seen[2] or '0') or 0) > turn then
  return redis.error_reply('FENCED turn ' .. ARGV[2] .. ' comes after turn ' .. seen[2])
end
local keys = { inbox = KEYS[2], timers = KEYS[3], pending = KEYS[4], created = {} }
local gone = tonumber(ARGV[3])
local wrong = #ARGV > 3 + gone and unfit(keys)
if wrong then return wrong end
local now = text(now_ms())
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'turn', ARGV[2])
if gone > 0 then redis.call('HDEL', KEYS[1], unpack(ARGV, 4, 3 + gone)) end

local results, at, key, failed = {}, 4 + gone, 5, nil
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
