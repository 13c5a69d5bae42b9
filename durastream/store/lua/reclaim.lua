-- Put back what dead workers had claimed, with a note of who had it, at the tail of its activity stream: stream by stream, worker
-- by worker as they are given, oldest first.
-- KEYS    lease, then the activity streams
-- ARGV    epoch, nonce, limit, deaths that make a suspect, then the ids of the dead workers
-- Returns list of {number of the stream, new entry id, message, workers that had it}
-- Errors  FENCED
--@include _fence
--@include _names

local refused = fence_error(KEYS[1], ARGV[1], ARGV[2])
if refused then return refused end
local moved, limit, suspect = {}, tonumber(ARGV[3]), tonumber(ARGV[4])

-- One claim of that worker: XPENDING's {entry id, worker, idle, deliveries} of the group.
local function put_back(k, claim, worker)
  local entry = redis.call('XRANGE', KEYS[k], claim[1], claim[1])[1]
  if entry then
    local blob, died = '', ''
    for f = 1, #entry[2], 2 do
      if entry[2][f] == 'm' then blob = entry[2][f + 1] end
      if entry[2][f] == 'd' then died = entry[2][f + 1] end
    end
    -- A suspect that had not begun is none the worse for the death of the worker that held it; `begin` leaves a count that
    -- reading alone never reaches.
    if count_names(died) < suspect or claim[4] >= 1000 then died = with_name(died, worker) end
    local id = redis.call('XADD', KEYS[k], '*', 'm', blob, 'd', died)
    moved[#moved + 1] = { k - 1, id, blob, died }
  end
  redis.call('XACK', KEYS[k], 'workers', claim[1])
  redis.call('XDEL', KEYS[k], claim[1])
end

-- Worker → number of its claims.
local function claimants_of(key)
  local known = {}
  local consumers = redis.pcall('XINFO', 'CONSUMERS', key, 'workers')
  for _, consumer in ipairs(consumers.err and {} or consumers) do
    local fields = {}
    for f = 1, #consumer, 2 do fields[consumer[f]] = consumer[f + 1] end
    known[fields.name] = fields.pending
  end
  return known
end

for k = 2, #KEYS do
  local known = claimants_of(KEYS[k])
  for d = 5, #ARGV do
    local name = ARGV[d]
    local pending = known[name]
    known[name] = nil -- should it be given twice
    if pending then
      local claims = {}
      if pending > 0 and #moved < limit then
        claims = redis.call('XPENDING', KEYS[k], 'workers', '-', '+', limit - #moved, name)
      end
      for _, claim in ipairs(claims) do put_back(k, claim, name) end
      -- A consumer takes its pending entries with it: only an empty one may go.
      if #claims == pending then redis.call('XGROUP', 'DELCONSUMER', KEYS[k], 'workers', name) end
    end
  end
end
return moved
