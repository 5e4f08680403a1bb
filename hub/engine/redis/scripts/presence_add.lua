-- Counts clients in, or replaces what is known of them. All keys are of one partition.
--
-- KEYS  1 what the lease owns here, 2 leases that own anything here, then per client: 3 members, 4 users
-- ARGV  1 lease, then per client: 2 client, 3 name in the owned set, 4 user, 5 entry
-- Gives how much the lease owns here.

local lease = ARGV[1]
for i = 0, (#KEYS - 2) / 2 - 1 do
  local members, users = KEYS[3 + 2 * i], KEYS[4 + 2 * i]
  local client, owned, user, entry = ARGV[2 + 4 * i], ARGV[3 + 4 * i], ARGV[4 + 4 * i], ARGV[5 + 4 * i]
  local before = redis.call('HGET', members, client)
  local _, user_before
  if before then
    _, user_before = parts_of(before)
  end
  if user_before ~= user then
    if before then
      count_out(users, user_before)
    end
    redis.call('HINCRBY', users, user, 1)
  end
  redis.call('HSET', members, client, entry)
  redis.call('SADD', KEYS[1], owned)
end
redis.call('SADD', KEYS[2], lease)
return redis.call('SCARD', KEYS[1])
