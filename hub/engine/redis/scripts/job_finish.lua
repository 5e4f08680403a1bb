-- The users of a step are notified. Whoever lost its claim meanwhile is not listened to.
--
-- KEYS  1 notice, 2 jobs of the partition, 3 wake (Pub/Sub)
-- ARGV  1 now in ms or empty, 2 PUBLISH or SPUBLISH, 3 member in the jobs, 4 claim,
--       5 cursor behind the step, 6 users done, 7 users failed

local notice = redis.call('HMGET', KEYS[1], 'claim', 'users', 'running')
if notice[1] ~= ARGV[4] then
  return 0
end
redis.call('HDEL', KEYS[1], 'claim')
redis.call('HSET', KEYS[1], 'cursor', ARGV[5])
redis.call('HINCRBY', KEYS[1], 'done', ARGV[6])
redis.call('HINCRBY', KEYS[1], 'failed', ARGV[7])
if tonumber(ARGV[5]) >= tonumber(notice[2]) then
  redis.call('HSET', KEYS[1], 'running', '0')
  redis.call('ZREM', KEYS[2], ARGV[3])
elseif notice[3] == '1' then
  redis.call('ZADD', KEYS[2], decimal(now_ms_from(ARGV[1])), ARGV[3])
  redis.call(ARGV[2], KEYS[3], ' 0')
end
return 1
