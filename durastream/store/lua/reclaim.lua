-- Put back what dead workers had claimed from one activity stream, counted as one more delivery, at its tail.
-- KEYS    lease, activity stream
-- ARGV    epoch, nonce, limit, deliveries that make a suspect, then the ids of the dead workers
-- Returns list of {new entry id, message, deliveries}
-- Errors  FENCED
--@include _fence

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local dead = {}
for k = 5, #ARGV do dead[ARGV[k]] = true end
local consumers = redis.pcall('XINFO', 'CONSUMERS', KEYS[2], 'workers')
if consumers.err then return {} end
local moved, limit = {}, tonumber(ARGV[3])
for _, consumer in ipairs(consumers) do
  local name, pending
  for k = 1, #consumer, 2 do
    if consumer[k] == 'name' then name = consumer[k + 1] end
    if consumer[k] == 'pending' then pending = tonumber(consumer[k + 1]) end
  end
  if dead[name] then
    local claims = {}
    if pending > 0 and #moved < limit then
      claims = redis.call('XPENDING', KEYS[2], 'workers', '-', '+', limit - #moved, name)
    end
    for _, claim in ipairs(claims) do
      local entry = redis.call('XRANGE', KEYS[2], claim[1], claim[1])[1]
      if entry then
        local blob, deliveries = '', 0
        for f = 1, #entry[2], 2 do
          if entry[2][f] == 'm' then blob = entry[2][f + 1] end
          if entry[2][f] == 'd' then deliveries = tonumber(entry[2][f + 1]) or 0 end
        end
        -- A suspect that had not begun is none the worse for the death of the worker that held it; `begin` leaves a count that
        -- reading alone never reaches.
        if deliveries < tonumber(ARGV[4]) or claim[4] >= 1000 then deliveries = deliveries + 1 end
        local id = redis.call('XADD', KEYS[2], '*', 'm', blob, 'd', deliveries)
        moved[#moved + 1] = { id, blob, deliveries }
      end
      redis.call('XACK', KEYS[2], 'workers', claim[1])
      redis.call('XDEL', KEYS[2], claim[1])
    end
    -- A consumer takes its pending entries with it: only an empty one may go.
    if #claims == pending then redis.call('XGROUP', 'DELCONSUMER', KEYS[2], 'workers', name) end
  end
end
return moved
