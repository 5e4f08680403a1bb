-- Whether one send may be tried through a breaker whose pause is over; one at a time.
--
-- KEYS  1 lane
-- ARGV  1 now in ms or empty, 2 how long the probe may take, in ms

local now = now_ms_from(ARGV[1])
local lane = redis.call('HMGET', KEYS[1], 'open_until', 'probe_until')
if not lane[1] then
  return 1
end
if now < tonumber(lane[1]) or now < tonumber(lane[2] or '0') then
  return 0
end
redis.call('HSET', KEYS[1], 'probe_until', decimal(now + ARGV[2]))
return 1
