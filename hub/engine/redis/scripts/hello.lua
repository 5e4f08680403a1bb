-- A device has a connection. Its debts wait a little for the replay, but not without end.
--
-- ARGV  7 device, 8 node, 9 client, 10 state, 11 epoch and 12 offset of the client's own cursor, or empty,
--       13 generation that this very connection had before, or empty
-- Gives {offset, epoch, read, unread}, and where there is a row, further
--       usable as 1 or 0, generation, acked, node and client of the connection that it replaces or empty, and
--       hash and nonce of a token whose record is to live on.

local user = open_user(ARGV[6])
local row = load_row(user, ARGV[7])
local answer = { user.stream.offset, epoch_of(user.stream), user.read, 0 }
if not row then
  answer[4] = unread_of(user)
  save_user(user)
  return answer
end

local replaced_node, replaced_client = '', ''
if ARGV[13] == '' or ARGV[13] == (row[GENERATION] or '0') then
  if row[ONLINE] == '1' and row[CLIENT] ~= ARGV[9] then
    replaced_node, replaced_client = row[NODE], row[CLIENT]
  end
  if ARGV[13] == '' then
    -- Never one that a row of this device had which is gone, or a server that lost its newest writes:
    -- whoever holds that one leaves late.
    put(row, GENERATION, decimal(math.max((row[GENERATION] or 0) + 1, now)))
  end
  put(row, NODE, ARGV[8])
  put(row, CLIENT, ARGV[9])
  put(row, STATE, ARGV[10])
  put(row, ONLINE, '1')
  put(row, LAST_SEEN, decimal(now))
  if row[BADGE_WANT] then
    put(row, BADGE_WANT, false)
  end
  if ARGV[11] == answer[2] and ARGV[11] ~= '' then
    prove(user, row, tonumber(ARGV[12]), 'cursor', ARGV[8], 0)
  end
  if oldest_owed_ms(user, row) then
    set_due_after_wait(row)
  elseif not row[CLEAR] then
    clear_due(row)
  end
end
answer[4] = unread_of(user)
keep_row(row)
save_row(row)
keep_user(user)
save_user(user)
answer[5], answer[6], answer[7] = is_usable(row) and 1 or 0, tonumber(row[GENERATION] or 0), tonumber(row[ACKED])
answer[8], answer[9] = replaced_node, replaced_client
tell_token_to_keep(row, answer)
return answer
