-- The connection ended. One that just dropped gets some time to come back.
--
-- ARGV  7 device, 8 generation, 9 how, 10 offset written beyond what is proven, 11 ms of that or 0

local user = open_user(ARGV[6])
local row = load_row(user, ARGV[7])
if row and row[ONLINE] == '1' and row[GENERATION] == ARGV[8] then
  put(row, ONLINE, '0')
  put(row, LEFT_MS, decimal(now))
  put(row, LEFT_HOW, ARGV[9])
  put(row, LAST_SEEN, decimal(now))
  local written_ms = tonumber(ARGV[11])
  if written_ms > 0 then
    local up_to = math.min(tonumber(ARGV[10]), user.stream.offset)
    read_log(user, tonumber(row[ACKED]), up_to, function(_, kind, _, full, id)
      if kind ~= 'w' and full then
        mark(user, id, line(written_ms, 'written', row.device, row[NODE]))
      end
      return false
    end)
  end
  if oldest_owed_ms(user, row) then
    owe_since(row)
    set_due_by(row, now + wait_ms_of(row))
  end
  save_row(row)
end
user.stream.is_relied_on = row ~= nil
save_user(user)
