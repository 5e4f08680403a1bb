-- What a stream is: put in front of every script that touches one, behind clock.lua.
--
-- meta (hash): birth   random text, new with every new stream
--              term    the partition's term when the stream was last used
--              offset  of the newest publication, kept or not
--              until   ms; then the stream is forgotten, and the key expires
-- log (stream): id is <offset>-0; one field e: <appended at, ms> <life, s>\n<envelope>, in one
--              piece because every piece costs when a history is read; an inbox has a second
--              field n, the ledger's note;
--              the key expires with the newest entry
--
-- The epoch is <birth>-<term>. A new term means that Redis was started anew or another
-- server took over, perhaps without the newest publications: the offset leaps, so that
-- none is ever used twice, and the epoch changes, so that nobody takes the rest for all.
--
-- "until" is a field because keys expire by the server's clock alone, while a script may be
-- given another one. It is set a little late and moved only when it must be, so that
-- looking at a stream writes nothing, and publishing writes the offset alone.

local OFFSET_LEAP = 1000000
local READ_BATCH = 64
local LATE_SHARE = 1 / 64
-- Seconds; anybody may ask for names without end, to which nothing is ever published.
local UNUSED_LIFE = 300

-- The stream as it is now; begins it with the birth given where there is none.
local function open_stream(term_key, meta_key, log_key, now_ms, birth)
  local term = redis.call('HGET', term_key, 'term') or '0'
  local meta = redis.call('HMGET', meta_key, 'birth', 'term', 'offset', 'until')
  if not meta[1] or now_ms >= tonumber(meta[4]) then
    -- A log without meta has offsets that the new stream will use again.
    redis.call('DEL', log_key)
    return { birth = birth, term = term, offset = 0, until_ms = 0, is_changed = true }
  end
  local stream = {
    birth = meta[1],
    term = meta[2],
    offset = tonumber(meta[3]),
    until_ms = tonumber(meta[4]),
  }
  if stream.term ~= term then
    stream.term = term
    stream.offset = stream.offset + OFFSET_LEAP
    stream.is_changed = true
  end
  return stream
end

local function epoch_of(stream)
  return stream.birth .. '-' .. stream.term
end

-- Write the stream back; it lives on for at least life_s from now, unless nothing was ever published to it
-- and nobody relies on its epoch (is_relied_on).
local function keep_stream(meta_key, stream, now_ms, life_s)
  local life_ms = life_s * 1000
  if stream.offset == 0 and not stream.is_relied_on then
    life_ms = math.min(life_ms, UNUSED_LIFE * 1000)
  end
  if stream.until_ms < now_ms + life_ms then
    stream.until_ms = now_ms + life_ms + math.floor(life_ms * LATE_SHARE)
    stream.is_changed = true
  end
  if stream.is_changed then
    local until_text = decimal(stream.until_ms)
    redis.call('HSET', meta_key, 'birth', stream.birth, 'term', stream.term,
      'offset', decimal(stream.offset), 'until', until_text)
    redis.call('PEXPIREAT', meta_key, until_text)
  elseif stream.has_grown then
    redis.call('HSET', meta_key, 'offset', decimal(stream.offset))
  end
end

-- Append, and let go what is more than size. The stream has yet to be kept.
local function append(log_key, stream, now_ms, envelope, size, ttl_s, note)
  stream.offset = stream.offset + 1
  stream.has_grown = true
  local id, entry = decimal(stream.offset) .. '-0', decimal(now_ms) .. ' ' .. ttl_s .. '\n' .. envelope
  if note then
    redis.call('XADD', log_key, 'MAXLEN', size, id, 'e', entry, 'n', note)
  else
    redis.call('XADD', log_key, 'MAXLEN', size, id, 'e', entry)
  end
  redis.call('PEXPIREAT', log_key, decimal(now_ms + ttl_s * 1000))
end

-- An entry that no hub wrote is over too: it must not stand in the way of the others.
local function is_over(entry, now_ms)
  local appended_ms, life_s = string.match(entry[2][2], '^(%d+) (%d+)\n')
  return not appended_ms or now_ms >= appended_ms + life_s * 1000
end

-- Let go what is too old, oldest first and no further than the first that is not;
-- returns that one, or nil where nothing is left.
local function drop_expired(log_key, now_ms)
  local batch = redis.call('XRANGE', log_key, '-', '+', 'COUNT', 1)
  if #batch == 0 or not is_over(batch[1], now_ms) then
    return batch[1]
  end
  while #batch > 0 do
    for _, entry in ipairs(batch) do
      if not is_over(entry, now_ms) then
        redis.call('XTRIM', log_key, 'MINID', entry[1])
        return entry
      end
    end
    batch = redis.call('XRANGE', log_key, '(' .. batch[#batch][1], '+', 'COUNT', READ_BATCH)
  end
  redis.call('DEL', log_key)
  return nil
end
