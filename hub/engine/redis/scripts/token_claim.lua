-- Second step of a registration: notes it among those that may hold a token.
--
-- KEYS  1 token
-- ARGV  1 <owner>:<device>:<nonce>, 2 life in s
-- Gives the others.

local others = redis.call('SMEMBERS', KEYS[1])
redis.call('SADD', KEYS[1], ARGV[1])
redis.call('EXPIRE', KEYS[1], ARGV[2])
for place, name in ipairs(others) do
  if name == ARGV[1] then
    table.remove(others, place)
    break
  end
end
return others
