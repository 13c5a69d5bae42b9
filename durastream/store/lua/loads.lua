-- What waits in a partition, and since when. Changes nothing.
-- KEYS    inbox, parked, stalled, then one activity stream per queue
-- ARGV    the consumer group of the activity streams
-- Returns {id of the oldest inbox entry or '', parked, stalled, then per queue: length, claimed, id of the oldest
--         entry that nobody has claimed, or ''}
-- Errors  none of its own; a key of another type counts as empty

local function count(command, key)
  local n = redis.pcall(command, key)
  return type(n) == 'number' and n or 0
end

local function first(key, from)
  local entries = redis.pcall('XRANGE', key, from, '+', 'COUNT', 1)
  return not entries.err and entries[1] and entries[1][1] or ''
end

local function group_of(key)
  local groups = redis.pcall('XINFO', 'GROUPS', key)
  for _, group in ipairs(groups.err and {} or groups) do
    local known = {}
    for k = 1, #group, 2 do known[group[k]] = group[k + 1] end
    if known['name'] == ARGV[1] then return known['pending'], '(' .. known['last-delivered-id'] end
  end
  return 0, '-'
end

local reply = { first(KEYS[1], '-'), count('HLEN', KEYS[2]), count('HLEN', KEYS[3]) }
for k = 4, #KEYS do
  local claimed, after = group_of(KEYS[k])
  reply[#reply + 1] = count('XLEN', KEYS[k])
  reply[#reply + 1] = claimed
  reply[#reply + 1] = first(KEYS[k], after)
end
return reply
