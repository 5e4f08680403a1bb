-- Publishes a probe the way publications go: a write first, so that a replica or a full server fails it.
-- KEYS[1] probe (string, and the Pub/Sub channel of the same name)
-- ARGV[1] PUBLISH or SPUBLISH
-- ARGV[2] number of the probe
redis.call('SET', KEYS[1], ARGV[2], 'EX', 60)
return redis.call(ARGV[1], KEYS[1], ARGV[2])
