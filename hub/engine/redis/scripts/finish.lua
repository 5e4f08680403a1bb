-- Settles a claim.
--
-- ARGV  7 device, 8 lane, 9 claim, 10 offsets that were sent, blank between them, 11 ms to put off what is
--       left or empty, with a minus where it was not tried, 12 hash of a token that is gone or empty, 13 ms since when or empty,
--       14 badge that was sent or empty, 15 worker,
--       then three lists, each behind its length: ids that were cleared; offset, id and reason of what is
--       dead; id, event and detail of marks
-- Gives {0} when the claim is not the current one, else {1}, and {1, hash, nonce} of a dropped token.

local user = open_user(ARGV[6])
local row = user.name and load_row(user, ARGV[7])
if not row or row[CLAIM] ~= ARGV[9] then
  save_user(user)
  return { 0 }
end

local next_argument = 16
local function take()
  next_argument = next_argument + 1
  return ARGV[next_argument - 1]
end
local function take_list(width)
  local list = {}
  for _ = 1, tonumber(take()) do
    local item = {}
    for part = 1, width do
      item[part] = take()
    end
    table.insert(list, item)
  end
  return list
end
local cleared, dead, marks = take_list(1), take_list(3), take_list(3)
local is_kept_always = {
  accepted = true, proven = true, pushed = true, dropped = true,
  read = true, opened = true, withdrawn = true, expired = true,
}

local target = tonumber(row[TARGET])
local acked = tonumber(row[ACKED])
drop_claim(row)
local wait = tonumber(ARGV[11])
local tried = string.sub(ARGV[11], 1, 1) ~= '-'
if wait and tried then
  put(row, ATTEMPTS, decimal((row[ATTEMPTS] or 0) + 1))
elseif row[ATTEMPTS] and tried then
  put(row, ATTEMPTS, false)
end

-- What the inbox says of the offsets and ids that this finish names.
local withdrawn, full_trace = {}, {}
local function look_up()
  local from = user.stream.offset
  for offset in string.gmatch(ARGV[10], '%d+') do
    from = math.min(from, tonumber(offset) - 1)
  end
  -- Marks may be on any entry that was owed when the row was claimed.
  if #marks > 0 then
    from = 0
  end
  read_log(user, from, user.stream.offset, function(offset, kind, _, full, id)
    withdrawn[decimal(offset)] = kind == 'w' and id or nil
    full_trace[id] = full
    return false
  end)
end
look_up()

local sent, again, shown = set_of(row[SENT]), set_of(row[AGAIN]), set_of(row[SHOWN])
local clear = {}
for id in string.gmatch(row[CLEAR] or '', '%S+') do
  table.insert(clear, id)
end
local function is_in(list, wanted)
  for _, each in ipairs(list) do
    if each == wanted then
      return true
    end
  end
  return false
end
local read_on_its_way = false
for offset in string.gmatch(ARGV[10], '%d+') do
  sent[offset] = true
  again[offset] = nil
  if not withdrawn[offset] then
    if tonumber(offset) > user.read then
      shown[offset] = true
    else
      read_on_its_way = true
    end
  elseif not is_in(clear, withdrawn[offset]) then
    -- Taken back while it was on its way: it is on the screen now, and must go from there.
    table.insert(clear, withdrawn[offset])
  end
end
for _, letter in ipairs(dead) do
  sent[letter[1]] = true
  again[letter[1]] = nil
end
put(row, SENT, text_of(sent, acked))
put(row, AGAIN, text_of(again, acked))

local screen = {}
for offset in pairs(shown) do
  table.insert(screen, tonumber(offset))
end
table.sort(screen)
local newest = {}
for place = math.max(1, #screen - MAX_SHOWN + 1), #screen do
  table.insert(newest, decimal(screen[place]))
end
put(row, SHOWN, #newest > 0 and table.concat(newest, ' '))

for _, each in ipairs(marks) do
  if full_trace[each[1]] or is_kept_always[each[2]] then
    mark(user, each[1], line(now, each[2], row.device, ARGV[15], each[3]))
  end
end

move_pushed(user, row, target)

if ARGV[14] ~= '' then
  put(row, BADGE_SENT, ARGV[14])
  if row[BADGE_WANT] == ARGV[14] then
    put(row, BADGE_WANT, false)
  end
end
if read_on_its_way and not is_live(row) then
  -- It came onto the screen after it was read elsewhere, and counted as if it had not been.
  local unread = decimal(unread_of(user))
  if ARGV[14] ~= unread then
    put(row, BADGE_WANT, unread)
  end
end
local still_clear = {}
for _, id in ipairs(clear) do
  local is_cleared = false
  for _, each in ipairs(cleared) do
    is_cleared = is_cleared or each[1] == id
  end
  if not is_cleared then
    table.insert(still_clear, id)
  end
end
put(row, CLEAR, #still_clear > 0 and table.concat(still_clear, ' '))

-- The name of the newest letter there ever was, also of one that was dropped; nil for none.
local function newest_letter(key)
  if redis.call('EXISTS', key) == 1 then
    local told = redis.call('XINFO', 'STREAM', key)
    for i = 1, #told, 2 do
      if told[i] == 'last-generated-id' then
        return string.match(told[i + 1], '^(%d+)-(%d+)$')
      end
    end
  end
end

-- Letters are named by their time, in the order of their coming.
for _, letter in ipairs(dead) do
  local key = base .. 'dead:' .. ARGV[8]
  local last_ms, last_number = newest_letter(key)
  local ms, number = now, 0
  if last_ms and tonumber(last_ms) >= now then
    ms, number = tonumber(last_ms), tonumber(last_number) + 1
  end
  redis.call('XADD', key, 'MINID', decimal(now - DEAD_TTL_S * 1000), decimal(ms) .. '-' .. number,
    'owner', user.owner, 'user', user.name, 'device', row.device, 'id', letter[2], 'offset', letter[1],
    'reason', letter[3], 'time', decimal(now))
  redis.call('EXPIRE', key, DEAD_TTL_S)
  redis.call('SADD', base .. 'dead-lanes', ARGV[8])
  redis.call('EXPIRE', base .. 'dead-lanes', DEAD_TTL_S)
end

local answer = { 1 }
if ARGV[12] ~= '' and row[HASH] == ARGV[12] then
  -- A token that was registered after the provider lost it is a living one.
  if ARGV[13] == '' or tonumber(ARGV[13]) >= tonumber(row[TOKEN_MS]) then
    answer[2], answer[3] = row[HASH], row[NONCE] or ''
    drop_token(row)
  end
end
if has_work(user, row) then
  owe_since(row)
  put_due(row, now + (wait and math.abs(wait) or AGAIN_MS))
else
  clear_due(row)
end
save_row(row)
user.stream.is_relied_on = true
save_user(user)
return answer
