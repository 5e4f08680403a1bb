-- Gives a lease back at an orderly end.
--
-- KEYS  1 leases, 2 descriptions
-- ARGV  1 lease

redis.call('HDEL', KEYS[2], ARGV[1])
return redis.call('ZREM', KEYS[1], ARGV[1])
