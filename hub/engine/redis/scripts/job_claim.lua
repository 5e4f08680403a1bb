-- Take the step of a job that waits longest, or a call that came with a publication and is to be noted first.
--
-- KEYS  1 jobs of the partition
-- ARGV  1 now in ms or empty, 2 beginning of the keys of notices, 3 of their users, 4 of posts,
--       5 new claim, 6 its length in ms, 7 users of a step
-- Gives {member, body, cursor, users of the step}, or {member, parts of the post ...}, or nothing.

local now = now_ms_from(ARGV[1])
local until_text = decimal(now + ARGV[6])
while true do
  local member = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', decimal(now), 'LIMIT', 0, 1)[1]
  if not member then
    return false
  end
  local name = string.sub(member, 2)
  if string.sub(member, 1, 1) == 'p' then
    local parts = redis.call('LRANGE', ARGV[4] .. name, 0, -1)
    if #parts > 0 then
      redis.call('ZADD', KEYS[1], until_text, member)
      table.insert(parts, 1, member)
      return parts
    end
  else
    local notice = redis.call('HMGET', ARGV[2] .. name, 'running', 'until', 'cursor', 'body')
    if notice[1] == '1' and now < tonumber(notice[2]) then
      local cursor = tonumber(notice[3])
      local users = redis.call('LINDEX', ARGV[3] .. name, math.floor(cursor / ARGV[7]))
      if users then
        redis.call('HSET', ARGV[2] .. name, 'claim', ARGV[5])
        redis.call('ZADD', KEYS[1], until_text, member)
        return { member, notice[4], cursor, users }
      end
    end
  end
  -- What it named is gone: its time was over.
  redis.call('ZREM', KEYS[1], member)
end
