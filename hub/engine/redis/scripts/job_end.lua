-- A call that its caller expanded is through; or a job is cancelled, and hands out no further step.
--
-- KEYS  1 notice, 2 jobs of the partition
-- ARGV  1 member in the jobs, 2 users done or empty to cancel, 3 users failed

if ARGV[2] == '' then
  if redis.call('ZREM', KEYS[2], ARGV[1]) == 1 then
    redis.call('HSET', KEYS[1], 'running', '0')
  end
elseif redis.call('EXISTS', KEYS[1]) == 1 and not redis.call('ZSCORE', KEYS[2], ARGV[1]) then
  redis.call('HSET', KEYS[1], 'running', '0', 'done', ARGV[2], 'failed', ARGV[3])
end
return 1
