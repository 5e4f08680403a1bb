-- Shared by what reads and writes revocations.
--
-- KEYS  1 rules (hash): <kind>:<subject> -> <number> <until ms, - for good, 0 lifted> <before ms>;
--         besides `epoch` and `number`
--       2 order (sorted set): <kind>:<subject> by the number of its last change
--       3 ends (sorted set): <kind>:<subject> by the ms when it may be forgotten

local function version()
  local top = redis.call('HMGET', KEYS[1], 'epoch', 'number')
  return top[1] or '', tonumber(top[2] or 0)
end

local function sweep(now)
  local over = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', decimal(now), 'LIMIT', 0, 200)
  if #over > 0 then
    redis.call('HDEL', KEYS[1], unpack(over))
    redis.call('ZREM', KEYS[2], unpack(over))
    redis.call('ZREM', KEYS[3], unpack(over))
  end
end

local function keep(field, until_ms, before_ms, end_ms, offered_epoch)
  redis.call('HSETNX', KEYS[1], 'epoch', offered_epoch)
  local number = redis.call('HINCRBY', KEYS[1], 'number', 1)
  redis.call('HSET', KEYS[1], field, decimal(number) .. ' ' .. until_ms .. ' ' .. before_ms)
  redis.call('ZADD', KEYS[2], decimal(number), field)
  redis.call('ZADD', KEYS[3], end_ms, field)
end
