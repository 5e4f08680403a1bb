-- The devices of a user as their owner may see them.
--
-- Gives for each {id, record, hash of the token or empty, state, last seen ms, acked, number of owed entries}.

local user = open_user(ARGV[6])
save_user(user)
local devices = {}
for _, row in ipairs(rows_of(user)) do
  local owed_count = 0
  read_owed(user, row, function()
    owed_count = owed_count + 1
    return false
  end)
  table.insert(devices, { row.device, redis.call('HGET', row.key, 'record'), row[HASH] or '',
    is_connected(row) and row[STATE] or 'offline', tonumber(row[LAST_SEEN]), tonumber(row[ACKED]), owed_count })
end
return devices
