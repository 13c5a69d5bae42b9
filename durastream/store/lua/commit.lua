-- Apply everything that a batch of turns decided, whole or not at all.
-- KEYS    lease, watch, then whatever the operations name
-- ARGV    epoch, nonce, sequence
--         c, then c checks: key of a record, revision ('' = must be absent), key of its history or queue, entries there
--         ('' = any)
--         t, then t keys of the partition with the type each must have if it exists
--         n, then n notices: instance id, channel ('' = none), blob
--         operations up to the end: command, key, a, then a arguments
--         (keys are given as positions in KEYS)
-- Returns 1 applied, 0 applied before
-- Errors  FENCED, also when a number was left out; REFUSED with what differs. Checks come first: nothing is written when it
--         refuses. The first write is one that memory pressure refuses. Streams come first among the operations: an XADD may be
--         refused even so, and can be taken back.

local call = redis.call
local held = call('HMGET', KEYS[1], 'epoch', 'nonce', 'seq')
if held[1] ~= ARGV[1] or held[2] ~= ARGV[2] then
  return redis.error_reply('FENCED partition is owned by epoch ' .. (held[1] or 'none'))
end
local applied, wanted = tonumber(held[3] or '0'), tonumber(ARGV[3])
if wanted <= applied then return 0 end
if wanted ~= applied + 1 then -- a power loss or a failover has taken commits away: all that the caller has in memory is void
  return redis.error_reply('FENCED commit ' .. wanted .. ' follows ' .. applied .. ': the store has forgotten what came between')
end

local at = 5
for _ = 1, tonumber(ARGV[4]) do
  local key, revision, length = KEYS[tonumber(ARGV[at])], ARGV[at + 1], ARGV[at + 3]
  local found = call('HGET', key, 'revision') or ''
  if found ~= revision then
    return redis.error_reply('REFUSED revision of ' .. key .. ' is ' .. found .. ', not ' .. revision)
  end
  if length ~= '' then
    local beside = KEYS[tonumber(ARGV[at + 2])]
    local entries = call('HLEN', beside)
    if entries ~= tonumber(length) then
      return redis.error_reply('REFUSED ' .. beside .. ' has ' .. entries .. ' entries, not ' .. length)
    end
  end
  at = at + 4
end

for k = at + 1, at + 2 * tonumber(ARGV[at]), 2 do
  local key = KEYS[tonumber(ARGV[k])]
  local found = call('TYPE', key).ok
  if found ~= ARGV[k + 1] and found ~= 'none' then
    return redis.error_reply('REFUSED ' .. key .. ' is a ' .. found .. ', not a ' .. ARGV[k + 1])
  end
end
at = at + 2 * tonumber(ARGV[at]) + 1

local notices, first_notice = tonumber(ARGV[at]), at + 1
at = first_notice + 3 * notices
local last = #ARGV
-- A stream may refuse an id (used up, or ours is too low): then those added before it are taken back, and nothing has happened.
local added = {}
while ARGV[at] == 'XADD' do
  local key, count = KEYS[tonumber(ARGV[at + 1])], tonumber(ARGV[at + 2])
  local id = redis.pcall('XADD', key, unpack(ARGV, at + 3, at + 2 + count))
  if type(id) == 'table' then
    for k = 1, #added, 2 do call('XDEL', added[k], added[k + 1]) end
    if string.sub(id.err, 1, 4) ~= 'ERR ' then return id end
    return redis.error_reply('REFUSED ' .. key .. ' takes nothing: ' .. id.err)
  end
  added[#added + 1] = key
  added[#added + 1] = id
  at = at + 3 + count
end
call('HSET', KEYS[1], 'seq', ARGV[3])
while at <= last do
  local count = tonumber(ARGV[at + 2])
  call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + count))
  at = at + 3 + count
end

if notices == 0 then return 1 end
-- One message per channel and batch: whoever waits for many instances is woken once.
local ids, told = {}, {}
for k = 1, notices do ids[k] = ARGV[first_notice + 3 * (k - 1)] end
local watchers = call('HMGET', KEYS[2], unpack(ids))
local gone, heard = {}, {}
for k = 1, notices do
  local channel, blob = ARGV[first_notice + 3 * k - 2], ARGV[first_notice + 3 * k - 1]
  if channel ~= '' then
    local queue = told[channel] or {}
    told[channel] = queue
    queue[#queue + 1] = blob
  end
  if watchers[k] and not heard[ids[k]] then -- who watches an instance hears of it once
    heard[ids[k]] = true
    gone[#gone + 1] = ids[k]
    for other in string.gmatch(watchers[k], '[^\n]+') do
      if other ~= channel then
        local queue = told[other] or {}
        told[other] = queue
        queue[#queue + 1] = blob
      end
    end
  end
end
if #gone > 0 then call('HDEL', KEYS[2], unpack(gone)) end
-- Not `call`: everything has been applied by now, and a channel that our user may not publish to was named by somebody else.
for channel, blobs in pairs(told) do redis.pcall('PUBLISH', channel, table.concat(blobs)) end
return 1
