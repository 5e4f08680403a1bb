-- Takes a notification back, once: out of the debts, and off the screens it was pushed to.
--
-- ARGV  7 id, 8 envelope that takes its place in the inbox, 9 id of the user
-- Gives 1, or 0 for one that is not known or was withdrawn before.

local user = open_user(ARGV[6])
local id = ARGV[7]
local seen = find_seen(user, id)
if not seen or seen[4] == '1' then
  save_user(user)
  return 0
end
redis.call('SET', seen_key_of(user, id),
  seen[1] .. ' ' .. seen[2] .. ' ' .. seen[3] .. ' 1 ' .. seen[5], 'KEEPTTL')

-- An entry of a stream cannot be changed, and none can be put between others: all are written anew.
local function blank()
  drop_expired(user.log_key, now)
  local entries = redis.call('XRANGE', user.log_key, '-', '+')
  local found
  for _, entry in ipairs(entries) do
    local fields = entry[2]
    local note_id, rest = string.match(fields[4] or '', '^%l %d+ [01] ([^\n]*)(\n.*)$')
    if note_id == id then
      found = entry
      fields[2] = string.match(fields[2], '^%d+ %d+\n') .. ARGV[8]
      fields[4] = 'w' .. string.sub(fields[4], 2)
    end
  end
  if not found then
    return nil
  end
  local left_ms = redis.call('PTTL', user.log_key)
  redis.call('DEL', user.log_key)
  for _, entry in ipairs(entries) do
    redis.call('XADD', user.log_key, entry[1], unpack(entry[2]))
  end
  redis.call('PEXPIRE', user.log_key, left_ms)
  return offset_of(found[1]), offset_of(entries[1][1])
end

local offset, oldest = blank()
if offset then
  know_user(user, ARGV[9])
  local withdrawn = set_of(user.withdrawn)
  withdrawn[decimal(offset)] = true
  put_user(user, 'withdrawn', text_of(withdrawn, oldest - 1) or '')
elseif string.match(seen[3], '^(.*)-') == user.stream.birth then
  -- The inbox has it no more; a screen may.
  offset = tonumber(seen[2])
end
tell(user, ARGV[8])
for _, row in ipairs(rows_of(user)) do
  if offset then
    local text = decimal(offset)
    for _, field in ipairs({ SENT, AGAIN }) do
      local set = set_of(row[field])
      if set[text] then
        set[text] = nil
        put(row, field, text_of(set, 0))
      end
    end
    local shown = set_of(row[SHOWN])
    if is_usable(row) and shown[text] then
      shown[text] = nil
      put(row, SHOWN, text_of(shown, 0))
      put(row, CLEAR, row[CLEAR] and row[CLEAR] .. ' ' .. id or id)
      set_due(row, now)
    end
  end
  settle(user, row)
  save_row(row)
end
mark(user, id, line(now, 'withdrawn', ''))
save_user(user)
return 1
