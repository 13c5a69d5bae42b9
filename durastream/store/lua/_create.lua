-- Included: instances made by a start script. An item in ARGV, from index `at`: id, execution id, token, start_at ('' = now),
-- message, n, then n fields and values. `keys` is {inbox, timers, pending, created = {}}.
--@include _types

-- Whether the partition's own keys can take new instances: nil, or what to answer.
local function unfit(keys)
  return type_error(keys.inbox, 'stream') or type_error(keys.timers, 'zset') or type_error(keys.pending, 'zset')
end

-- What stands there already: nil, or {created, execution, status}; the same token means that this very start made it.
local function existing(key, token)
  local held = redis.pcall('HMGET', key, 'execution_id', 'status')
  if held.err then return { 0, '', 'of another type' } end
  if not held[1] then return nil end
  local dot = string.find(held[1], '.', 1, true) or (#held[1] + 1)
  local same = string.sub(held[1], 1, dot - 1) == token and 1 or 0
  return { same, held[1], held[2] or '' }
end

-- Write the message, then the record; nil, or why the inbox takes nothing (its ids are used up: then nothing is written).
-- The index entry is left to `index_created`: one ZADD for all of a batch.
local function create(keys, key, now, at)
  local id, execution, start_at, blob, n = ARGV[at], ARGV[at + 1], ARGV[at + 3], ARGV[at + 4], tonumber(ARGV[at + 5])
  local sent
  if start_at == '' then
    sent = redis.pcall('XADD', keys.inbox, '*', 'm', blob, 't', now)
  else
    -- The owner looks at its timers when the next one that it knows of is due: this one it has to be told.
    sent = redis.pcall('XADD', keys.inbox, '*', 'm', '', 't', start_at)
  end
  if type(sent) == 'table' then return sent end
  redis.call('HSET', key, 'execution_id', execution, 'status', 'Pending', 'revision', '0', 'events', '0',
    'created_at', now, 'updated_at', now, unpack(ARGV, at + 6, at + 5 + n))
  keys.created[#keys.created + 1] = now
  keys.created[#keys.created + 1] = id
  if start_at ~= '' then redis.call('ZADD', keys.timers, start_at, 'S\n0\n' .. execution .. '\n' .. id) end
  return nil
end

local function index_created(keys)
  if #keys.created > 0 then redis.call('ZADD', keys.pending, unpack(keys.created)) end
end
