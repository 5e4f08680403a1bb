-- Read the top of a stream and a part of what it keeps, as one step. Begins the stream
-- where there is none, so that whoever listens knows the epoch from the start.
--
-- KEYS: 1 term, 2 meta, 3 log
-- ARGV: 1 now ms or empty   2 birth   3 life of the stream s
--       4 limit: 0 the top alone, below 0 everything
--       5 offset to read from, not itself part of it, or empty   6 1 to read backward
-- Returns {offset, epoch} or {offset, epoch, entries}.

local now_ms = now_ms_from(ARGV[1])
local stream = open_stream(KEYS[1], KEYS[2], KEYS[3], now_ms, ARGV[2])
keep_stream(KEYS[2], stream, now_ms, ARGV[3])
local top = { stream.offset, epoch_of(stream) }
if ARGV[4] == '0' then
  return top
end

local function read(command, from, to)
  if tonumber(ARGV[4]) > 0 then
    return redis.call(command, KEYS[3], from, to, 'COUNT', ARGV[4])
  end
  return redis.call(command, KEYS[3], from, to)
end

local oldest = drop_expired(KEYS[3], now_ms)
local backward = ARGV[6] == '1'
if not oldest then
  top[3] = {}
elseif ARGV[5] == '' then
  top[3] = backward and read('XREVRANGE', '+', '-') or read('XRANGE', '-', '+')
elseif not backward then
  -- An id without its second half means the end of that offset in one place, its begin in another.
  top[3] = read('XRANGE', '(' .. ARGV[5] .. '-0', '+')
elseif tonumber(ARGV[5]) <= tonumber(string.match(oldest[1], '^%d+')) then
  -- Reading back from a place that is gone would pass over a hole unseen.
  top[3] = {}
else
  top[3] = read('XREVRANGE', '(' .. ARGV[5] .. '-0', '-')
end
return top
