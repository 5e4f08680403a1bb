-- What users, their devices and debts are: in front of every script of the ledger, behind clock.lua,
-- stream.lua and the delays. The pure rules of hub/delivery/ are the specification: names follow them.
--
-- Every script of the ledger gets
--   KEYS  1 row of the user (the scripts of lanes: the lane)
--   ARGV  1 now in ms or empty, 2 what all keys of the partition begin with, 3 PUBLISH or SPUBLISH,
--         4 birth for a stream that begins now, 5 live nodes "<age in ms>\n<id>\n<id>\n", empty: all live,
--         6 whose inbox
-- and names the other keys of the partition here, since which devices there are only the row knows.
-- Nodes' leases are never read: they are in another slot of a Cluster.
--
-- user (hash):   user       the id as it is, not as keys carry it
--                birth      of the stream that all offsets are of
--                read       watermark
--                last_push, push_until   bounds of what can be owed at all
--                devices    ids, blank between them, in the order of their registration
--                withdrawn  offsets in the inbox that count as read, blank between them
--                until      ms; then the row is forgotten, and the key expires
-- device (hash): record (JSON without the token), token, and what ROW_FIELDS names; fields that are not there are
--                empty, and false in a row here
-- due (sorted set, one a lane): <owner>:<device> -> when a worker may try
-- seen (string): <until> <offset> <epoch> <1 when withdrawn else 0> <hash of the body>
-- trace (list):  <ms>\n<event>\n<device>\n<node>\n<detail>

local now = now_ms_from(ARGV[1])
local base, publish, new_birth, live_nodes = ARGV[2], ARGV[3], ARGV[4], ARGV[5]

-- users

-- The user as of now. Without a row (name is nil) it has no devices and read nothing.
local function open_user(owner)
  local channel = 'inbox:#' .. owner
  local user = {
    owner = owner,
    key = base .. 'user:' .. owner,
    meta_key = base .. 'meta:' .. channel,
    log_key = base .. 'log:' .. channel,
    fanout = base .. 'ch:' .. channel,
    read = 0, last_push = 0, push_until = 0, devices = '', withdrawn = '', until_ms = 0,
  }
  user.stream = open_stream(base .. 'term', user.meta_key, user.log_key, now, new_birth)
  local f = redis.call('HMGET', user.key,
    'user', 'birth', 'devices', 'until', 'read', 'last_push', 'push_until', 'withdrawn')
  if f[1] and now < tonumber(f[4]) then
    user.name, user.devices, user.until_ms = f[1], f[3], tonumber(f[4])
    if f[2] == user.stream.birth then
      user.read, user.last_push, user.push_until = tonumber(f[5]), tonumber(f[6]), tonumber(f[7])
      user.withdrawn = f[8]
    else
      user.is_anew = true
    end
  end
  return user
end

-- Begin the row where there is none.
local function know_user(user, name)
  if not user.name then
    user.name, user.is_anew = name, true
  end
end

local function put_user(user, field, value)
  user[field] = value
  local changes = user.changes or {}
  user.changes = changes
  changes[#changes + 1] = field
  changes[#changes + 1] = type(value) == 'number' and decimal(value) or value
end

-- The row lives on for as long as an inbox does.
local function keep_user(user)
  user.stream.is_relied_on = true
  if user.name and user.until_ms < now + INBOX_LIFE_MS then
    put_user(user, 'until', decimal(now + INBOX_LIFE_MS + math.floor(INBOX_LIFE_MS * LATE_SHARE)))
  end
end

local function save_user(user)
  keep_stream(user.meta_key, user.stream, now, INBOX_LIFE_S)
  if not user.name then
    return
  end
  if user.is_anew then
    redis.call('HSET', user.key, 'user', user.name, 'birth', user.stream.birth, 'devices', user.devices,
      'read', decimal(user.read), 'last_push', decimal(user.last_push),
      'push_until', decimal(user.push_until), 'withdrawn', user.withdrawn)
    if user.until_ms == 0 then
      keep_user(user)
    end
  end
  if user.changes then
    redis.call('HSET', user.key, unpack(user.changes))
  end
  if user['until'] then
    redis.call('PEXPIREAT', user.key, user['until'])
  end
end

local function offset_of(entry_id)
  return tonumber(string.match(entry_id, '^%d+'))
end

-- Call visit(offset, kind, expires at ms, full trace, id, entry) for the entries in (from, to] that are
-- still in the inbox, oldest first, until it gives true.
local function read_log(user, from, to, visit)
  if from >= to then
    return
  end
  local start, stop = '(' .. decimal(from) .. '-0', decimal(to)
  local count = 4
  while true do
    local batch = redis.call('XRANGE', user.log_key, start, stop, 'COUNT', count)
    for _, entry in ipairs(batch) do
      local note = entry[2][4]
      if note and not is_over(entry, now) then
        local kind, expires, full, id = string.match(note, '^(%l) (%d+) ([01]) ([^\n]*)\n')
        if kind and visit(offset_of(entry[1]), kind, tonumber(expires), full == '1', id, entry) then
          return
        end
      end
    end
    if #batch < count then
      return
    end
    start = '(' .. batch[#batch][1]
    count = READ_BATCH
  end
end

local function appended_ms_of(entry)
  return tonumber(string.match(entry[2][2], '^%d+'))
end

-- Entries above the watermark that were not withdrawn. Offsets follow each other but for leaps, so most
-- often nothing has to be read.
local function unread_of(user)
  if user.read >= user.stream.offset then
    return 0
  end
  local oldest = drop_expired(user.log_key, now)
  if not oldest then
    return 0
  end
  local first, count = offset_of(oldest[1]), redis.call('XLEN', user.log_key)
  if user.read >= first then
    local last = offset_of(redis.call('XREVRANGE', user.log_key, '+', '-', 'COUNT', 1)[1][1])
    if last - first + 1 == count then
      count = math.max(0, last - user.read)
    else
      count = #redis.call('XRANGE', user.log_key, '(' .. decimal(user.read) .. '-0', '+')
    end
  end
  for withdrawn in string.gmatch(user.withdrawn, '%d+') do
    local offset = tonumber(withdrawn)
    if offset >= first and offset > user.read then
      count = count - 1
    end
  end
  return count
end

-- Tell live connections something that is not kept.
local function tell(user, envelope)
  redis.call(publish, user.fanout, 'p\n0\n\n' .. decimal(now) .. '\n' .. envelope)
end

-- traces

local function line(time_ms, event, device, node, detail)
  return decimal(time_ms) .. '\n' .. event .. '\n' .. device .. '\n' .. (node or '') .. '\n' .. (detail or '')
end

-- Leave marks, each made by line(), on a notification.
local function mark(user, id, ...)
  local key = base .. 'trace:' .. #user.owner .. ':' .. user.owner .. ':' .. id
  if redis.call('RPUSH', key, ...) > MAX_TRACE_MARKS then
    redis.call('LTRIM', key, -MAX_TRACE_MARKS, -1)
  end
  redis.call('EXPIRE', key, TRACE_TTL_S)
end

-- What is known of a notification id: {until ms, offset, epoch, 1 when withdrawn, hash}; nil for nothing.
local function seen_key_of(user, id)
  return base .. 'seen:' .. #user.owner .. ':' .. user.owner .. ':' .. id
end

local function find_seen(user, id)
  local known = redis.call('GET', seen_key_of(user, id))
  if known then
    local seen = { string.match(known, '^(%d+) (%d+) (%S+) ([01]) (.*)$') }
    if seen[1] and now < tonumber(seen[1]) then
      return seen
    end
  end
  return nil
end

-- device rows

local function row_key(user, device)
  return base .. 'device:' .. user.owner .. ':' .. device
end

local function put(row, field, value)
  row[field] = value
  row.changed[field] = true
end

-- Whoever holds the row, holds it no longer.
local function drop_claim(row)
  put(row, CLAIM, false)
  put(row, CLAIM_UNTIL, false)
  put(row, TARGET, false)
end

-- Another stream, in which no offset means what it meant.
local function begin_stream(row, birth)
  put(row, BIRTH, birth)
  put(row, ACKED, '0')
  put(row, PUSHED, '0')
  for _, field in ipairs({ SENT, AGAIN, SHOWN, CLEAR, ATTEMPTS }) do
    put(row, field, false)
  end
  drop_claim(row)
end

-- The row as of now; nil where there is none. An unset field is false.
local function load_row(user, device)
  local key = row_key(user, device)
  local row = redis.call('HMGET', key, ROW_FIELDS)
  if not row[LANE] or now >= tonumber(row[UNTIL]) then
    return nil
  end
  row.key, row.device, row.member, row.changed = key, device, user.owner .. ':' .. device, {}
  -- Whatever makes a row due leaves one of these until it is settled.
  row.may_be_due = row[P0] or row[CLAIM] or row[CLEAR] or row[BADGE_WANT]
  if user.stream and row[BIRTH] ~= user.stream.birth then
    begin_stream(row, user.stream.birth)
  end
  return row
end

local function rows_of(user)
  local rows = {}
  for device in string.gmatch(user.devices, '%S+') do
    local row = load_row(user, device)
    if row then
      table.insert(rows, row)
    end
  end
  return rows
end

local field_names

local function save_row(row)
  local set, unset, set_count, unset_count = {}, {}, 0, 0
  local names = field_names or { ROW_FIELDS }
  field_names = names
  for field in pairs(row.changed) do
    local value = row[field]
    if value then
      set[set_count + 1], set[set_count + 2] = names[field], value
      set_count = set_count + 2
    else
      unset_count = unset_count + 1
      unset[unset_count] = names[field]
    end
  end
  if set_count > 0 then
    redis.call('HSET', row.key, unpack(set, 1, set_count))
  end
  if unset_count > 0 then
    redis.call('HDEL', row.key, unpack(unset, 1, unset_count))
  end
  if row.changed[UNTIL] then
    redis.call('PEXPIREAT', row.key, row[UNTIL])
  end
end

-- The row lives on for as long as an inbox does.
local function keep_row(row)
  if not row[UNTIL] or tonumber(row[UNTIL]) < now + INBOX_LIFE_MS then
    put(row, UNTIL, decimal(now + INBOX_LIFE_MS + math.floor(INBOX_LIFE_MS * LATE_SHARE)))
  end
end

-- What names the token of a row whose life was just prolonged, so that its record can follow; appended to an
-- answer.
local function tell_token_to_keep(row, answer)
  if row.changed[UNTIL] and row[HASH] then
    answer[#answer + 1], answer[#answer + 2] = row[HASH], row[NONCE] or ''
  end
end

local function is_usable(row)
  return row[HASH] and not row[PENDING]
end

local function is_claimed(row)
  return row[CLAIM] and tonumber(row[CLAIM_UNTIL]) > now
end

-- A node that was heard of after the living were read is not dead for not being among them: it is new.
local function is_node_alive(row)
  return live_nodes == '' or string.find(live_nodes, '\n' .. (row[NODE] or '') .. '\n', 1, true) ~= nil
    or tonumber(row[LAST_SEEN] or '0') > now - (tonumber(string.match(live_nodes, '^%d+')) or 0)
end

-- Connected on a living node, in front or not.
local function is_connected(row)
  return row[ONLINE] == '1' and is_node_alive(row)
end

-- Whether its user would see what comes by the socket.
local function is_live(row)
  return (row[STATE] == 'foreground' or BACKGROUND_COUNTS) and is_connected(row)
end

-- How long a new debt may wait for proof.
local function wait_ms_of(row)
  if is_live(row) then
    return ACK_WAIT_MS
  end
  if row[ONLINE] == '1' or not (row[LEFT_HOW] == 'dropped' or row[LEFT_HOW] == 'drained') then
    return 0
  end
  -- It may have left in the future, by a clock that was set back since.
  return math.max(0, math.min(tonumber(row[LEFT_MS]), now) + GRACE_MS - now)
end

-- when a worker may try

local function due_of(row)
  if not row.may_be_due then
    return nil
  end
  local due = redis.call('ZSCORE', base .. 'due:' .. row[LANE], row.member)
  return due and tonumber(due) or nil
end

-- Workers are told when the first of a lane comes nearer.
local function put_due(row, due_ms)
  row.may_be_due = true
  local key = base .. 'due:' .. row[LANE]
  local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')
  redis.call('ZADD', key, decimal(due_ms), row.member)
  if not first[2] or due_ms < tonumber(first[2]) then
    redis.call(publish, base .. 'wake', row[LANE] .. ' ' .. decimal(due_ms))
  end
end

-- A row under a claim stays due when the claim runs out.
-- One that waits for another attempt does not come nearer: a provider asked for that wait.
local function set_due(row, due_ms)
  if not is_claimed(row) then
    local due = row[ATTEMPTS] and due_of(row)
    put_due(row, due and math.max(due, due_ms) or due_ms)
  elseif not due_of(row) then
    put_due(row, tonumber(row[CLAIM_UNTIL]))
  end
end

-- As set_due, unless it is due earlier already.
local function set_due_by(row, due_ms)
  local due = due_of(row)
  if not due or (due_ms < due and not is_claimed(row)) then
    set_due(row, due_ms)
  end
end

-- Since when something is owed; from now on, where nothing was.
local function owe_since(row)
  if not row[P0] then
    put(row, P0, decimal(now))
  end
  return tonumber(row[P0])
end

-- Put the debts off once more, so that the socket can win, but not for ever.
local function set_due_after_wait(row)
  local since_ms = owe_since(row)
  if wait_ms_of(row) > 0 then
    set_due(row, math.min(now + ACK_WAIT_MS, since_ms + MAX_DEFER_MS))
  else
    set_due(row, now)
  end
end

local function clear_due(row)
  if row.may_be_due then
    redis.call('ZREM', base .. 'due:' .. row[LANE], row.member)
  end
  if row[P0] then
    put(row, P0, false)
  end
  if row[ATTEMPTS] then
    put(row, ATTEMPTS, false)
  end
end

-- Without a token nothing is owed, and no claim of former debts goes on.
local function drop_token(row)
  clear_due(row)
  for _, field in ipairs({ HASH, PENDING, NONCE, SENT, AGAIN, CLEAR, BADGE_WANT, BADGE_SENT, ATTEMPTS }) do
    put(row, field, false)
  end
  drop_claim(row)
  redis.call('HDEL', row.key, 'token')
end

-- debts

-- Offsets, blank between them, as a set: text -> true.
local function set_of(text)
  local set = {}
  for offset in string.gmatch(text or '', '%d+') do
    set[offset] = true
  end
  return set
end

-- And back, of those above a bound; false for none.
local function text_of(set, above)
  local kept = {}
  for offset in pairs(set) do
    if tonumber(offset) > above then
      table.insert(kept, offset)
    end
  end
  return #kept > 0 and table.concat(kept, ' ')
end

-- A test for entries: whether they still need proof, a push or their expiry.
local function owed_test(row)
  local acked, pushed = tonumber(row[ACKED]), tonumber(row[PUSHED])
  local sent, again = set_of(row[SENT]), set_of(row[AGAIN])
  return function(offset, kind, expires_ms)
    if kind ~= 'p' or expires_ms <= now or offset <= acked then
      return false
    end
    local text = decimal(offset)
    return again[text] or (offset > pushed and not sent[text])
  end
end

-- Call visit for what is owed, as read_log does.
local function read_owed(user, row, visit)
  if not is_usable(row) or now >= user.push_until then
    return
  end
  local acked = tonumber(row[ACKED])
  if acked >= user.last_push and not row[AGAIN] then
    return
  end
  local is_owed = owed_test(row)
  local from = row[AGAIN] and acked or math.max(acked, tonumber(row[PUSHED]))
  read_log(user, from, user.stream.offset, function(offset, kind, expires_ms, full, id, entry)
    return is_owed(offset, kind, expires_ms) and visit(offset, kind, expires_ms, full, id, entry)
  end)
end

-- When the oldest entry that is owed was appended; nil where nothing is owed.
local function oldest_owed_ms(user, row)
  local oldest_ms
  read_owed(user, row, function(_, _, _, _, _, entry)
    oldest_ms = appended_ms_of(entry)
    return true
  end)
  return oldest_ms
end

-- Whether a worker has anything to tell this device.
local function has_work(user, row)
  return row[CLEAR] or row[BADGE_WANT] or oldest_owed_ms(user, row) ~= nil
end

-- Where nothing is left to tell, nothing is due. A running claim goes on to its end.
local function settle(user, row)
  if not has_work(user, row) then
    clear_due(row)
  end
end

-- Move pushed over what needs no push any more, up to the first that does. Whoever expired unproven and
-- unsent is passed here, hence marked here, hence once.
local function move_pushed(user, row, up_to)
  local is_owed, sent = owed_test(row), set_of(row[SENT])
  local acked, pushed = tonumber(row[ACKED]), tonumber(row[PUSHED])
  local passed = up_to
  read_log(user, math.max(acked, pushed), up_to, function(offset, kind, expires_ms, _, id)
    if is_owed(offset, kind, expires_ms) then
      passed = offset - 1
      return true
    end
    if kind == 'p' and not sent[decimal(offset)] then
      mark(user, id, line(now, 'expired', row.device))
    end
    return false
  end)
  if passed > pushed then
    put(row, PUSHED, decimal(passed))
    if row[SENT] then
      put(row, SENT, text_of(sent, passed))
    end
  end
end

-- proof

local function raise_acked(user, row, offset)
  local acked = math.min(offset, user.stream.offset)
  if acked > tonumber(row[ACKED]) then
    put(row, ACKED, decimal(acked))
    for _, field in ipairs({ SENT, AGAIN }) do
      if row[field] then
        put(row, field, text_of(set_of(row[field]), acked))
      end
    end
  end
end

local function look_at_the_rest(user, row)
  local oldest_ms = oldest_owed_ms(user, row)
  if not oldest_ms then
    if not row[CLEAR] and not row[BADGE_WANT] then
      clear_due(row)
    end
    return
  end
  put(row, P0, decimal(oldest_ms))
  if is_live(row) and not is_claimed(row) then
    -- A busy phone that proves the older ones in time is not pushed to for the younger ones.
    local due, later = due_of(row), math.min(oldest_ms, now) + ACK_WAIT_MS
    if due and due < later then
      put_due(row, later)
    end
  end
end

-- Close the debts up to an offset, mark them as proven, and see what is left.
local function prove(user, row, offset, how, node, written_ms)
  local before = tonumber(row[ACKED])
  raise_acked(user, row, offset)
  read_log(user, before, tonumber(row[ACKED]), function(_, kind, _, full, id)
    if kind == 'w' then
      return false
    end
    local proven = line(now, 'proven', row.device, node, how)
    if full and written_ms > 0 then
      mark(user, id, line(written_ms, 'written', row.device, node), proven)
    else
      mark(user, id, proven)
    end
    return false
  end)
  look_at_the_rest(user, row)
end

-- Owe an entry once more that was given up; false where it cannot be sent any more anyway.
local function owe_again(user, row, offset)
  if not is_usable(row) or offset <= tonumber(row[ACKED]) then
    return false
  end
  local can_be_sent = false
  read_log(user, offset - 1, offset, function(_, kind, expires_ms)
    can_be_sent = kind == 'p' and expires_ms > now
    return true
  end)
  if can_be_sent then
    local again = set_of(row[AGAIN])
    again[decimal(offset)] = true
    put(row, AGAIN, text_of(again, 0))
    owe_since(row)
    set_due(row, now)
  end
  return can_be_sent
end
