-- Counts clients out; unknown ones are passed over. All keys are of one partition.
--
-- KEYS  1 what the lease owns here, 2 leases that own anything here, then per client: 3 members, 4 users
-- ARGV  1 lease, 2 "owned" to spare entries that meanwhile belong to another lease, else empty,
--       then per client: 3 client, 4 name in the owned set
-- Gives how much the lease still owns here.

local lease = ARGV[1]
local any_owner = ARGV[2] == ''
for i = 0, (#KEYS - 2) / 2 - 1 do
  local members, users = KEYS[3 + 2 * i], KEYS[4 + 2 * i]
  local client, owned = ARGV[3 + 2 * i], ARGV[4 + 2 * i]
  local entry = redis.call('HGET', members, client)
  if entry then
    local owner, user = parts_of(entry)
    if any_owner or owner == lease then
      redis.call('HDEL', members, client)
      count_out(users, user)
    end
  end
  redis.call('SREM', KEYS[1], owned)
end
local left = redis.call('SCARD', KEYS[1])
if left == 0 then
  redis.call('SREM', KEYS[2], lease)
end
return left
