-- Publish: idempotency, version, append and fan-out as one step.
--
-- KEYS: 1 Pub/Sub channel, then those that are used, in this order:
--       term, meta, log (where history is kept), idempotency, version,
--       jobs, post and wake (where a call of notify is taken along)
-- ARGV: 1 now ms or empty   2 PUBLISH or SPUBLISH   3 envelope
--       4 size, 5 ttl s, 6 life of the stream s, 7 birth: of the history, or size 0
--       8 life of the idempotency key s, or empty
--       9 version, or empty   10 life of the version s
--       11 jobs that may wait, or empty for none   12 member in the jobs   13 life of the post ms
--       14... parts of the post
-- Returns {1 if nothing was published, or 2 because too many jobs wait, else 0, offset, epoch};
-- an empty epoch means no position.

local now_ms = now_ms_from(ARGV[1])
local keeps = ARGV[4] ~= '0'
local next_key = 2
local term_key, meta_key, log_key, idempotency_key, version_key, jobs_key, post_key, wake_key
if keeps then
  term_key, meta_key, log_key = KEYS[2], KEYS[3], KEYS[4]
  next_key = 5
end
if ARGV[8] ~= '' then
  idempotency_key = KEYS[next_key]
  next_key = next_key + 1
end
if ARGV[9] ~= '' then
  version_key = KEYS[next_key]
  next_key = next_key + 1
end
if ARGV[11] and ARGV[11] ~= '' then
  jobs_key, post_key, wake_key = KEYS[next_key], KEYS[next_key + 1], KEYS[next_key + 2]
end

-- Versions are compared as text: numbers beyond 2^53 lose their last digits here.
local function is_greater(left, right)
  if #left ~= #right then
    return #left > #right
  end
  return left > right
end

if idempotency_key then
  local known = redis.call('GET', idempotency_key)
  if known then
    local until_ms, offset, epoch = string.match(known, '^(%d+) (%d+) (.*)$')
    if now_ms < tonumber(until_ms) then
      return { 1, tonumber(offset), epoch }
    end
  end
end

if version_key then
  local known = redis.call('GET', version_key)
  if known then
    local until_ms, version = string.match(known, '^(%d+) (%d+)$')
    if now_ms < tonumber(until_ms) and not is_greater(ARGV[9], version) then
      if not keeps then
        return { 1, 0, '' }
      end
      local stream = open_stream(term_key, meta_key, log_key, now_ms, ARGV[7])
      keep_stream(meta_key, stream, now_ms, ARGV[6])
      return { 1, stream.offset, epoch_of(stream) }
    end
  end
end

if jobs_key then
  if redis.call('ZCARD', jobs_key) >= tonumber(ARGV[11]) then
    return { 2, 0, '' }
  end
  for i = 14, #ARGV do
    redis.call('RPUSH', post_key, ARGV[i])
  end
  redis.call('PEXPIREAT', post_key, decimal(now_ms + ARGV[13]))
  redis.call('ZADD', jobs_key, decimal(now_ms), ARGV[12])
end

if version_key then
  local until_ms = decimal(now_ms + ARGV[10] * 1000)
  redis.call('SET', version_key, until_ms .. ' ' .. ARGV[9], 'PXAT', until_ms)
end

local offset, epoch = 0, ''
if keeps then
  local stream = open_stream(term_key, meta_key, log_key, now_ms, ARGV[7])
  append(log_key, stream, now_ms, ARGV[3], ARGV[4], ARGV[5])
  keep_stream(meta_key, stream, now_ms, ARGV[6])
  offset, epoch = stream.offset, epoch_of(stream)
end

if idempotency_key then
  local until_ms = decimal(now_ms + ARGV[8] * 1000)
  redis.call('SET', idempotency_key, until_ms .. ' ' .. decimal(offset) .. ' ' .. epoch, 'PXAT', until_ms)
end

redis.call(ARGV[2], KEYS[1],
  'p\n' .. decimal(offset) .. '\n' .. epoch .. '\n' .. decimal(now_ms) .. '\n' .. ARGV[3])
if jobs_key then
  redis.call(ARGV[2], wake_key, ' 0')
end
return { 0, offset, epoch }
