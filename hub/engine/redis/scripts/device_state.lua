-- The app came to the front or went to the back.
--
-- ARGV  7 device, 8 generation, 0 for whichever is current, 9 state

local user = open_user(ARGV[6])
local row = load_row(user, ARGV[7])
if row and row[ONLINE] == '1' and (ARGV[8] == '0' or row[GENERATION] == ARGV[8]) then
  put(row, STATE, ARGV[9])
  if oldest_owed_ms(user, row) then
    if ARGV[9] == 'foreground' then
      set_due_after_wait(row)
    elseif not BACKGROUND_COUNTS then
      owe_since(row)
      set_due(row, now)
    end
  end
  save_row(row)
end
user.stream.is_relied_on = row ~= nil
save_user(user)
