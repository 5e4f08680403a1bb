-- A row holds a token no longer, unless it registered it anew meanwhile.
--
-- KEYS  1 token
-- ARGV  1 <owner>:<device>, 2 nonce by which it held it

if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
  redis.call('HDEL', KEYS[1], ARGV[1])
end
