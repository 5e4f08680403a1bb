-- Last step of a registration: nobody else holds the token any more, so it may be used. What came before a
-- device could be pushed to is not pushed. Where the row is of another registration by now, that one wins.
--
-- ARGV  7 device, 8 nonce
-- Gives 1 when the token is in use now, else 0.

local user = open_user(ARGV[6])
local row = user.name and load_row(user, ARGV[7])
if not row or not row[PENDING] or row[NONCE] ~= ARGV[8] then
  save_user(user)
  return 0
end
if row[PENDING] == 'new' then
  put(row, PUSHED, decimal(user.stream.offset))
  put(row, SENT, false)
end
put(row, PENDING, false)
-- A claim that met the pending row took it from its lane.
if not due_of(row) and has_work(user, row) then
  owe_since(row)
  set_due(row, now + wait_ms_of(row))
end
save_row(row)
keep_user(user)
save_user(user)
return 1
