-- Which leases live, without burying any.
--
-- KEYS  1 leases, 2 grace
-- ARGV  1 now in ms or empty
-- Gives the living leases; none while there is grace, when nobody can be told from the dead.

local now = now_ms_from(ARGV[1])
if tonumber(redis.call('GET', KEYS[2]) or '0') > now then
  return {}
end
return redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. decimal(now), '+inf')
