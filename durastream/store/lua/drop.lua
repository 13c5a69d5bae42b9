-- Delete entries of the ingress stream.
-- KEYS    ingress
-- ARGV    entry ids
-- Returns number deleted
-- Errors  none of its own

return redis.call('XDEL', KEYS[1], unpack(ARGV))
