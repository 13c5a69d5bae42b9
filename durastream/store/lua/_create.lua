-- Included: instances made by a start script. `item` is {key, id, execution, token, start_at, blob, field, value, ...}
-- in ARGV from index `at`: id, execution, token, start_at ('' = now), blob, n, then n fields and values.

-- What stands there already: nil, or {created, execution, status}; the same token means that this very start made it.
local function existing(key, token)
  local held = redis.call('HMGET', key, 'execution_id', 'status')
  if not held[1] then return nil end
  local dot = string.find(held[1], '.', 1, true) or (#held[1] + 1)
  local same = string.sub(held[1], 1, dot - 1) == token and 1 or 0
  return { same, held[1], held[2] or '' }
end

local function create(keys, key, now, at)
  local id, execution, start_at, blob, n = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
  redis.call('HSET', key, 'execution_id', execution, 'status', 'Pending', 'revision', '0', 'events', '0',
    'created_at', now, 'updated_at', now, unpack(ARGV, at + 6, at + 5 + n))
  redis.call('ZADD', keys.pending, now, id)
  if start_at == '' then
    redis.call('XADD', keys.inbox, '*', 'm', blob, 't', now)
  else
    redis.call('ZADD', keys.timers, start_at, 'S\n0\n' .. execution .. '\n' .. id)
  end
end
