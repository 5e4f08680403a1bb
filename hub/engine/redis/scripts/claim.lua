-- Hands rows of a lane that are due to a worker.
--
-- KEYS  1 due
-- ARGV  6 lane, 7 how many at most, 8 worker, 9 what the claims' names begin with
-- Gives {now, ms at which the next row is due or empty, claimed rows}; a row is
--       {user, device, claim, until ms, record, token, its hash, its time, epoch, target, read, unread,
--        attempts, badge or empty, ids to clear, {{offset, entry, note}, ...}}
--       with what is owed, oldest first. Of an entry whose data is not needed only the head is given.

local lane, limit = ARGV[6], tonumber(ARGV[7])
local rows = {}

-- Only the newest entry of each of the first threads is shown; the entries of others stay here.
local function lighten(owed)
  local newest, count = {}, 0
  for place, each in ipairs(owed) do
    local thread = string.match(each[3], '^[^\n]*\n([^\n]*)\n')
    local group = thread ~= '' and 't' .. thread or place
    if newest[group] then
      newest[group] = place
    elseif count < MAX_GROUPS then
      newest[group], count = place, count + 1
    end
  end
  local is_shown = {}
  for _, place in pairs(newest) do
    is_shown[place] = true
  end
  for place, each in ipairs(owed) do
    if not is_shown[place] then
      each[2] = string.match(each[2], '^[^\n]*\n')
    end
  end
end

local function hand_out(user, row, due_ms)
  move_pushed(user, row, user.stream.offset)
  local owed = {}
  local claim = ARGV[9] .. '-' .. #rows
  read_owed(user, row, function(offset, _, _, full, id, entry)
    table.insert(owed, { offset, entry[2][2], entry[2][4] })
    if full then
      mark(user, id, line(due_ms, 'due', row.device), line(now, 'claimed', row.device, ARGV[8], claim))
    end
    return false
  end)
  if #owed == 0 and not row[CLEAR] and not row[BADGE_WANT] then
    -- It was found in the lane: left there it would be looked at again and again, for ever.
    row.may_be_due = true
    clear_due(row)
    return
  end
  lighten(owed)
  local until_ms, unread = now + CLAIM_MS, unread_of(user)
  put(row, CLAIM, claim)
  put(row, CLAIM_UNTIL, decimal(until_ms))
  put(row, TARGET, decimal(user.stream.offset))
  if row[BADGE_WANT] then
    -- What the worker is told is what it will say it sent.
    put(row, BADGE_WANT, decimal(unread))
  end
  redis.call('ZADD', KEYS[1], decimal(until_ms), row.member)
  local record = redis.call('HMGET', row.key, 'record', 'token')
  table.insert(rows, { user.name, row.device, claim, until_ms, record[1], record[2], row[HASH],
    tonumber(row[TOKEN_MS]), epoch_of(user.stream), user.stream.offset, user.read, unread,
    tonumber(row[ATTEMPTS] or 0), row[BADGE_WANT] or '', row[CLEAR] or '', owed })
end

local function try(member, due_ms)
  local owner, device = string.match(member, '^(.*):([^:]*)$')
  local user = open_user(owner)
  local row = user.name and load_row(user, device)
  if not row or not is_usable(row) or row[LANE] ~= lane then
    redis.call('ZREM', KEYS[1], member)
  else
    hand_out(user, row, due_ms)
    save_row(row)
  end
  user.stream.is_relied_on = row
  save_user(user)
end

-- Rows with nothing to tell do not count, but they take time.
local most_looks = limit + 200
while #rows < limit and most_looks > 0 do
  local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', decimal(now), 'WITHSCORES', 'LIMIT', 0, limit - #rows)
  if #due == 0 then
    break
  end
  for i = 1, #due, 2 do
    try(due[i], tonumber(due[i + 1]))
  end
  most_looks = most_looks - #due / 2
end
local first = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return { now, first[2] and tonumber(first[2]) or '', rows }
