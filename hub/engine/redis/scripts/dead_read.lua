-- Dead letters of one lane, oldest first. Those that are over are let go.
--
-- KEYS  1 dead letters
-- ARGV  1 now in ms or empty, 2 name to begin with, itself part of it, or -, 3 how many at most, 4 life in s
-- Gives entries.

redis.call('XTRIM', KEYS[1], 'MINID', decimal(now_ms_from(ARGV[1]) - ARGV[4] * 1000))
return redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', ARGV[3])
