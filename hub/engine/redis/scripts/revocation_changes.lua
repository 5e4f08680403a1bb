-- What changed since a copy was made.
--
-- ARGV  1 epoch of the copy, 2 its number
-- Gives {epoch, number, 1 when these are all rules, field, value, field, value, ...}.

local epoch, number = version()
if epoch ~= ARGV[1] or tonumber(ARGV[2]) > number then
  local all = redis.call('HGETALL', KEYS[1])
  table.insert(all, 1, 1)
  table.insert(all, 1, number)
  table.insert(all, 1, epoch)
  return all
end
local answer = { epoch, number, 0 }
if number > tonumber(ARGV[2]) then
  for _, field in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[2], '+inf')) do
    table.insert(answer, field)
    table.insert(answer, redis.call('HGET', KEYS[1], field))
  end
end
return answer
