-- Appends a notification to an inbox, publishes it, and opens a debt for each device with a token.
--
-- ARGV  7 id, 8 envelope, 9 note, 10 hash of the body, 11 ms at which it expires where it may be pushed,
--       else empty
-- Gives {0 written | 1 known | 2 known with another body, offset, epoch}.

local user = open_user(ARGV[6])
local id, body_hash = ARGV[7], ARGV[10]
local seen = find_seen(user, id)
if seen then
  save_user(user)
  return { seen[5] == body_hash and 1 or 2, tonumber(seen[2]), seen[3] }
end

append(user.log_key, user.stream, now, ARGV[8], INBOX_SIZE, INBOX_TTL_S, ARGV[9])
local offset, epoch = user.stream.offset, epoch_of(user.stream)
redis.call('SET', seen_key_of(user, id), decimal(now + SEEN_TTL_S * 1000) .. ' ' .. decimal(offset) .. ' ' .. epoch
  .. ' 0 ' .. body_hash, 'EX', SEEN_TTL_S)
mark(user, id, line(now, 'accepted', ''))
if user.devices ~= '' then
  keep_user(user)
  if ARGV[11] ~= '' then
    put_user(user, 'last_push', offset)
    put_user(user, 'push_until', math.max(user.push_until, tonumber(ARGV[11])))
    for _, row in ipairs(rows_of(user)) do
      if is_usable(row) then
        owe_since(row)
        set_due_by(row, now + wait_ms_of(row))
        save_row(row)
      end
    end
  end
end
save_user(user)
redis.call(publish, user.fanout,
  'p\n' .. decimal(offset) .. '\n' .. epoch .. '\n' .. decimal(now) .. '\n' .. ARGV[8])
return { 0, offset, epoch }
