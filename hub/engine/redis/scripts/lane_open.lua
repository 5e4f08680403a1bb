-- Stop a lane for everybody.
--
-- KEYS  1 lane (hash): open_until, reason, failures, probe_until; token, token_made
-- ARGV  1 now in ms or empty, 2 pause in ms, 3 reason
-- Gives {open until, failures}.

local open_until = now_ms_from(ARGV[1]) + ARGV[2]
redis.call('HSET', KEYS[1], 'open_until', decimal(open_until), 'reason', ARGV[3])
redis.call('HDEL', KEYS[1], 'probe_until')
return { open_until, redis.call('HINCRBY', KEYS[1], 'failures', 1) }
