-- Keeps a rule. A block replaces the former one, a revocation only grows.
--
-- ARGV  1 now in ms or empty, 2 epoch where there is none yet, 3 <kind>:<subject>, 4 until ms or -,
--       5 before ms, 6 most rules, 7 `new` to leave alone what there is
-- Gives {epoch, number}, or {} when there are too many.

sweep(now_ms_from(ARGV[1]))
local field, until_ms, before_ms = ARGV[3], ARGV[4], ARGV[5]
local former = redis.call('HGET', KEYS[1], field)
if former and ARGV[7] == 'new' then
  return { version() }
end
if not former and redis.call('ZCARD', KEYS[3]) >= tonumber(ARGV[6]) then
  return {}
end
if former and string.sub(field, 1, 5) ~= 'user:' then
  local _, former_until, former_before = string.match(former, '^(%S+) (%S+) (%S+)$')
  if former_until == '-' or until_ms == '-' then
    until_ms = '-'
  elseif tonumber(former_until) > tonumber(until_ms) then
    until_ms = former_until
  end
  if tonumber(former_before) > tonumber(before_ms) then
    before_ms = former_before
  end
end
keep(field, until_ms, before_ms, until_ms == '-' and '+inf' or until_ms, ARGV[2])
return { version() }
