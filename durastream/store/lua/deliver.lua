-- Append messages of one or more sources to the inbox, each once.
-- KEYS    inbox, marks
-- ARGV    per source: source, epoch, nonce, n, then n messages: sequence, blob (sequences rising)
-- Returns number of messages taken
-- Errors  none of its own; OOM before anything is written; the inbox's own when its ids are used up, after the messages before it
--@include _clock

local now, taken, at = nil, 0, 1
while at <= #ARGV do
  local source, own_epoch, own_nonce = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local last_at = at + 2 + 2 * tonumber(ARGV[at + 3])
  local mark = redis.call('HGET', KEYS[2], source)
  local from, stale = 0, false
  local epoch, nonce, sequence = string.match(mark or '', '^(%d+):([^:]*):(%d+):')
  if epoch and #epoch <= 15 then -- a mark that cannot be read, or that no owner can have made, counts as none
    -- A lower epoch is a repeat by someone who owned the source before; equal epochs with other nonces come from a failover.
    stale = tonumber(own_epoch) < tonumber(epoch)
    if epoch == own_epoch and nonce == own_nonce then from = tonumber(sequence) end
  end
  local last, failed = nil, nil
  for k = at + 4, last_at, 2 do
    if not stale and not failed and tonumber(ARGV[k]) > from then
      local sent = redis.pcall('XADD', KEYS[1], '*', 'm', ARGV[k + 1])
      if type(sent) == 'table' then
        failed = sent
      else
        taken, last = taken + 1, ARGV[k]
      end
    end
  end
  if last then
    now = now or text(now_ms())
    redis.call('HSET', KEYS[2], source, own_epoch .. ':' .. own_nonce .. ':' .. last .. ':' .. now)
  end
  if failed then return failed end
  at = last_at + 2
end
return taken
