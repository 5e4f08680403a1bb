-- The user has seen everything up to an offset, on whichever device.
--
-- ARGV  7 epoch, 8 offset, 9 id of the user
-- Gives {offset, epoch, read, unread, 1 when the epoch is the current one else 0}.

local user = open_user(ARGV[6])
local epoch = epoch_of(user.stream)
if ARGV[7] ~= epoch then
  local unread = unread_of(user)
  save_user(user)
  return { user.stream.offset, epoch, user.read, unread, 0 }
end

-- A screen that nobody's socket reaches would go on to show what was read elsewhere.
local function tell_badge(row, unread)
  local left, is_less = {}, false
  for offset in string.gmatch(row[SHOWN] or '', '%d+') do
    if tonumber(offset) > user.read then
      table.insert(left, offset)
    else
      is_less = true
    end
  end
  local shows_too_much = is_less or row[BADGE_WANT] or (row[BADGE_SENT] and row[BADGE_SENT] ~= decimal(unread))
  if is_less then
    put(row, SHOWN, #left > 0 and table.concat(left, ' '))
  end
  if shows_too_much and is_usable(row) and not is_live(row) then
    put(row, BADGE_WANT, decimal(unread))
    set_due_by(row, now + BADGE_DELAY_MS)
  end
end

-- As the hub packs a publication: an array of one, a text of bytes. Shorter than 256 bytes.
local function envelope_of(data)
  return '\145\196' .. string.char(#data) .. data
end

local offset = tonumber(ARGV[8])
local before = user.read
local has_moved = math.min(offset, user.stream.offset) > before
if has_moved then
  know_user(user, ARGV[9])
  put_user(user, 'read', math.min(offset, user.stream.offset))
end
local unread = unread_of(user)
if has_moved then
  read_log(user, before, user.read, function(_, kind, _, _, id)
    if kind ~= 'w' then
      mark(user, id, line(now, 'read', ''))
    end
    return false
  end)
  tell(user, envelope_of('{"type":"read","epoch":"' .. epoch .. '","offset":' .. decimal(user.read)
    .. ',"unread":' .. decimal(unread) .. '}'))
end
for _, row in ipairs(rows_of(user)) do
  raise_acked(user, row, offset)
  if has_moved then
    tell_badge(row, unread)
  end
  look_at_the_rest(user, row)
  save_row(row)
end
if user.name then
  keep_user(user)
end
save_user(user)
return { user.stream.offset, epoch, user.read, unread, 1 }
