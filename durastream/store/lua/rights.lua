-- Which of these commands the caller may not run. Runs none of them.
-- KEYS    none
-- ARGV    per command: n, then n words: the command with its arguments
-- Returns positions of those that are forbidden, from 1; nil where the server cannot be asked
-- Errors  none of its own

local may = redis.acl_check_cmd
if not may then return nil end
local forbidden, number, at = {}, 0, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  number = number + 1
  local known, allowed = pcall(may, unpack(ARGV, at + 1, at + count))
  -- A command that this server does not have fails to be asked for.
  if not known or not allowed then forbidden[#forbidden + 1] = number end
  at = at + 1 + count
end
return forbidden
