-- Second step of a registration: notes a row among those that may hold a token.
--
-- KEYS  1 token
-- ARGV  1 <owner>:<device>, 2 nonce of the registration, 3 life in s
-- Gives the other rows, each with its nonce.

redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[3])
local others = {}
local holders = redis.call('HGETALL', KEYS[1])
for i = 1, #holders, 2 do
  if holders[i] ~= ARGV[1] then
    table.insert(others, holders[i])
    table.insert(others, holders[i + 1])
  end
end
return others
