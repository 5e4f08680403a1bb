-- Notes which reign of a primary serves this partition; another one than before raises the term.
-- KEYS[1] term (hash run, term)
-- ARGV[1] reign of this primary
-- ARGV[2] reign of the primary that is known to have handed the partition over alive, or ''
-- Returns the term.
local known = redis.call('HGET', KEYS[1], 'run')
local term = tonumber(redis.call('HGET', KEYS[1], 'term')) or 0
if known == ARGV[1] then
  return term
end
-- A primary forgets its former replication id after a while without replicas; it is the same all the same.
local same = known and string.sub(known, 1, #ARGV[1] + 1) == ARGV[1] .. ':'
redis.call('HSET', KEYS[1], 'run', ARGV[1])
if same or (known and ARGV[2] ~= '' and known == ARGV[2]) then
  return term
end
-- Not merely one more: the old value may come from a snapshot or a replica that never knew the
-- last ones, and a term that was used once must never be used again.
local now = redis.call('TIME')
term = math.max(term + 1, tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000))
redis.call('HSET', KEYS[1], 'term', string.format('%.0f', term))
return term
