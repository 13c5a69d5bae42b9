-- Carry out one repair, while what it is based on has not changed.
-- KEYS    whatever guards and operations name
-- ARGV    g, then g guards: command, position of its key in KEYS, n, then n arguments, and the reply it must have ('' = none)
--         operations up to the end: command, position, n, then n arguments
-- Returns 1 done, 0 something has changed: nothing was written
-- Errors  those of an operation, after the operations before it

local function as_text(reply)
  if type(reply) ~= 'table' then return tostring(reply or '') end
  return reply.ok or tostring(#reply) -- of a list only its length matters
end

local at = 2
for _ = 1, tonumber(ARGV[1]) do
  local count = tonumber(ARGV[at + 2])
  local reply = redis.call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + count))
  local found, wanted = as_text(reply), ARGV[at + 3 + count]
  -- A score has more than one way to be written.
  local same = found == wanted or (ARGV[at] == 'ZSCORE' and found ~= '' and tonumber(found) == tonumber(wanted))
  if not same then return 0 end
  at = at + 4 + count
end
while at <= #ARGV do
  local count = tonumber(ARGV[at + 2])
  redis.call(ARGV[at], KEYS[tonumber(ARGV[at + 1])], unpack(ARGV, at + 3, at + 2 + count))
  at = at + 3 + count
end
return 1
