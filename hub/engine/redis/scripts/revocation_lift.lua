-- Ends a rule, and remembers for a while that it did, so that every copy hears of it.
--
-- ARGV  1 now in ms or empty, 2 <kind>:<subject>, 3 ms to remember it
-- Gives {epoch, number}.

local now = now_ms_from(ARGV[1])
sweep(now)
local former = redis.call('HGET', KEYS[1], ARGV[2])
if former then
  local _, former_until, former_before = string.match(former, '^(%S+) (%S+) (%S+)$')
  if former_until ~= '0' then
    keep(ARGV[2], '0', former_before, decimal(now + ARGV[3]), '')
  end
end
return { version() }
