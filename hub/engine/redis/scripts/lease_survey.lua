-- Buries the leases that ran out, and tells who is left. Nobody is buried while there is grace, nor
-- when no lease is left at all: it was Redis that was away then, and the next renewal gives grace.
--
-- KEYS  1 leases, 2 descriptions, 3 grace
-- ARGV  1 now in ms or empty
-- Gives {1 while there is grace else 0, living leases, expired leases that are not buried}.

local now = now_ms_from(ARGV[1])
local grace = tonumber(redis.call('GET', KEYS[3]) or '0') > now

local limit = decimal(now)
local living = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. limit, '+inf')
local expired = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', limit)
if not grace and #living > 0 then
  for _, lease in ipairs(expired) do
    redis.call('ZREM', KEYS[1], lease)
    redis.call('HDEL', KEYS[2], lease)
  end
  expired = {}
end
return {grace and 1 or 0, living, expired}
