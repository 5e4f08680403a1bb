-- Takes or extends the lease of one node. A lease that is gone is never taken up again: the node gets
-- the next name instead, so that whoever still cleans up behind the old one cannot touch the new.
-- An expired lease that nobody buried is as good as a living one.
--
-- KEYS  1 leases, 2 descriptions, 3 grace
-- ARGV  1 lease held until now or empty, 2 next name, 3 length in ms, 4 description, 5 now in ms or empty
-- Gives 1 when the lease was held, 0 when the next name was taken.

local now = now_ms_from(ARGV[5])
local lease = ARGV[1]
local held = lease ~= '' and redis.call('ZSCORE', KEYS[1], lease)
if not held then
  lease = ARGV[2]
end
hold_lease(KEYS[1], KEYS[3], lease, tonumber(ARGV[3]), now)
redis.call('HSET', KEYS[2], lease, ARGV[4])
return held and 1 or 0
