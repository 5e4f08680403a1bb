-- A device has everything up to an offset. Counts from any connection of it.
--
-- ARGV  7 device, 8 epoch, 9 offset, 10 node, 11 ms at which it was written or 0, 12 how
-- Gives {offset, epoch, acked, 1 for a known device else 0, 1 when the epoch is the current one else 0}, and
--       hash and nonce of a token whose record is to live on.

local user = open_user(ARGV[6])
local row = load_row(user, ARGV[7])
local epoch = epoch_of(user.stream)
local is_same = ARGV[8] == epoch
if row then
  if is_same then
    if ARGV[12] ~= 'receipt' then
      put(row, LAST_SEEN, decimal(now))
    end
    prove(user, row, tonumber(ARGV[9]), ARGV[12], ARGV[10], tonumber(ARGV[11]))
  end
  keep_row(row)
  save_row(row)
  keep_user(user)
end
save_user(user)
local answer = { user.stream.offset, epoch, row and tonumber(row[ACKED]) or 0, row and 1 or 0, is_same and 1 or 0 }
if row then
  tell_token_to_keep(row, answer)
end
return answer
