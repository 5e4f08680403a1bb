-- When the next row of each lane is due.
--
-- KEYS  due of each lane
-- ARGV  1 now in ms or empty
-- Gives {now, ms or empty for each}.

local answer = { now_ms_from(ARGV[1]) }
for i, lane in ipairs(KEYS) do
  local first = redis.call('ZRANGE', lane, 0, 0, 'WITHSCORES')
  answer[i + 1] = first[2] and tonumber(first[2]) or ''
end
return answer
