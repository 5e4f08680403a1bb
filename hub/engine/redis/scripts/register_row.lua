-- First step of a registration: the whole record of a device is replaced. A token that was not the device's
-- before is pending until the last step: nothing is owed to it, nothing is pushed to it.
--
-- ARGV  7 device, 8 id of the user, 9 lane, 10 record, 11 token, 12 its hash, 13 nonce of this registration,
--       14 "anew" where the steps are wanted although the token is the device's own, else empty
-- Gives {1 when the other steps must follow else 0, nonce by which the row has its token,
--        hash and nonce of a token that was replaced or empty,
--        then device, hash and nonce of each row that left because there were too many}.

local user = open_user(ARGV[6])
know_user(user, ARGV[8])
local device, lane, hash = ARGV[7], ARGV[9], ARGV[12]
local row = load_row(user, device)
if not row then
  row = {
    key = row_key(user, device), device = device, member = user.owner .. ':' .. device, changed = {},
  }
  for field = 1, ROW_FIELD_COUNT do
    row[field] = false
  end
  redis.call('DEL', row.key)
  put(row, BIRTH, user.stream.birth)
  put(row, ACKED, decimal(user.stream.offset))
  put(row, PUSHED, decimal(user.stream.offset))
elseif row[LANE] ~= lane then
  local due = due_of(row)
  redis.call('ZREM', base .. 'due:' .. row[LANE], row.member)
  row[LANE] = lane
  if due then
    put_due(row, due)
  end
end
put(row, LANE, lane)
put(row, TOKEN_MS, decimal(now))
put(row, LAST_SEEN, decimal(now))
redis.call('HSET', row.key, 'record', ARGV[10])

local answer = { 0, '', '', '' }
if not is_usable(row) or row[HASH] ~= hash or ARGV[14] ~= '' then
  answer[1] = 1
  if row[HASH] and row[HASH] ~= hash then
    answer[3], answer[4] = row[HASH], row[NONCE] or ''
  end
  -- One that was usable before keeps what is owed to it, though its registration was interrupted.
  put(row, PENDING, (is_usable(row) or row[PENDING] == 'rotation') and 'rotation' or 'new')
  put(row, HASH, hash)
  put(row, NONCE, ARGV[13])
  redis.call('HSET', row.key, 'token', ARGV[11])
end
answer[2] = row[NONCE] or ''
keep_row(row)
save_row(row)

local devices, is_known = {}, false
for each in string.gmatch(user.devices, '%S+') do
  is_known = is_known or each == device
  table.insert(devices, each)
end
if not is_known then
  table.insert(devices, device)
end

-- The least recently seen one leaves.
while #devices > DEVICES_PER_USER do
  local place, stale, stale_seen
  for i, each in ipairs(devices) do
    if each ~= device then
      local other = load_row(user, each)
      local seen = other and tonumber(other[LAST_SEEN]) or 0
      if not place or seen < stale_seen or (seen == stale_seen and each < devices[place]) then
        place, stale, stale_seen = i, other, seen
      end
    end
  end
  if not place then
    break
  end
  if stale then
    clear_due(stale)
    table.insert(answer, stale.device)
    table.insert(answer, stale[HASH] or '')
    table.insert(answer, stale[NONCE] or '')
  end
  redis.call('DEL', row_key(user, devices[place]))
  table.remove(devices, place)
end

put_user(user, 'devices', table.concat(devices, ' '))
keep_user(user)
save_user(user)
return answer
