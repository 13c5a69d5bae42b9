-- Included: does a key hold what the script is about to use it for? Asked before the first write, since nothing is rolled back.
local function type_error(key, wanted)
  local held = redis.call('TYPE', key)
  if type(held) == 'table' then held = held.ok end
  if held == wanted or held == 'none' then return nil end
  return redis.error_reply('REFUSED ' .. key .. ' is a ' .. held .. ', not a ' .. wanted)
end
