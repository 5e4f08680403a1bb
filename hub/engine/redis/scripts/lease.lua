-- How a lease is held: a sorted set of leases with their ends in ms.

-- Takes or extends it. When no lease at all was renewed in time, it was Redis that was away, or
-- everything was: nobody may be buried before everybody had one lease's time to come back.
local function hold_lease(leases, grace, lease, length_ms, now_ms)
  local newest = redis.call('ZREVRANGE', leases, 0, 0, 'WITHSCORES')
  if not newest[2] or tonumber(newest[2]) <= now_ms then
    redis.call('SET', grace, decimal(now_ms + length_ms), 'PX', length_ms * 2)
  end
  redis.call('ZADD', leases, decimal(now_ms + length_ms), lease)
end
