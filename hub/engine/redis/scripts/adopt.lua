-- Notes which reign of a primary serves this partition; another one than before raises the term.
-- KEYS[1] term (hash run, term)
-- ARGV[1] reign of this primary
-- ARGV[2] reign of the primary that is known to have handed the partition over alive, or ''
-- Returns the term.
local known = redis.call('HGET', KEYS[1], 'run')
if known == ARGV[1] then
  return tonumber(redis.call('HGET', KEYS[1], 'term'))
end
redis.call('HSET', KEYS[1], 'run', ARGV[1])
if known and ARGV[2] ~= '' and known == ARGV[2] then
  return tonumber(redis.call('HGET', KEYS[1], 'term'))
end
return redis.call('HINCRBY', KEYS[1], 'term', 1)
