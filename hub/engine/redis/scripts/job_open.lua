-- Note a call of notify, once. A job waits for workers from then on.
--
-- KEYS  1 notice, 2 its users, 3 jobs of the partition, 4 wake (Pub/Sub)
-- ARGV  1 now in ms or empty, 2 PUBLISH or SPUBLISH, 3 member in the jobs, 4 hash of the body, 5 body,
--       6 number of users, 7 as a job 1 or 0, 8 jobs that may wait, 9 life of the notice in ms,
--       10... the users, a step in each piece
-- Gives "first", "again", "conflict" or "full".
--
-- notice (hash): hash, body, users, cursor, done, failed, running 1 or 0, claim of the step under way,
--                until (ms; then it is forgotten, and the key expires)
-- users (list):  a piece for each step
-- jobs (sorted set): j<notice id> or p<post> -> ms from which a worker may take it

local now = now_ms_from(ARGV[1])
local known = redis.call('HMGET', KEYS[1], 'hash', 'until')
if known[1] and now < tonumber(known[2]) then
  return known[1] == ARGV[4] and 'again' or 'conflict'
end
local waits = ARGV[7] == '1' and ARGV[6] ~= '0'
if waits and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[8]) then
  return 'full'
end
redis.call('DEL', KEYS[1], KEYS[2])
local is_running = (waits or ARGV[7] == '0') and '1' or '0'
local until_text = decimal(now + ARGV[9])
redis.call('HSET', KEYS[1], 'hash', ARGV[4], 'body', ARGV[5], 'users', ARGV[6], 'cursor', '0',
  'done', '0', 'failed', '0', 'running', is_running, 'until', until_text)
redis.call('PEXPIREAT', KEYS[1], until_text)
for i = 10, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
redis.call('PEXPIREAT', KEYS[2], until_text)
if waits then
  redis.call('ZADD', KEYS[3], decimal(now), ARGV[3])
  redis.call(ARGV[2], KEYS[4], ' 0')
end
return 'first'
