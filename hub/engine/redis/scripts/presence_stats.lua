-- The counts of one channel, without listing anybody.
--
-- KEYS  1 members, 2 users
-- Gives {clients, users}.

return {redis.call('HLEN', KEYS[1]), redis.call('HLEN', KEYS[2])}
