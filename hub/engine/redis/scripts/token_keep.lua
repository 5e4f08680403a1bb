-- A registration holds a token still: the record lives on.
--
-- KEYS  1 token
-- ARGV  1 <owner>:<device>:<nonce>, 2 life in s
-- Gives 0 where the record does not know it, else 1.

if redis.call('SISMEMBER', KEYS[1], ARGV[1]) == 0 then
  return 0
end
return redis.call('EXPIRE', KEYS[1], ARGV[2])
