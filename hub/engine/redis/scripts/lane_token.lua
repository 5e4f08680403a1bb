-- Replace a lane's provider token, unless somebody else did.
--
-- KEYS  1 lane
-- ARGV  1 new token, 2 when it was made, 3 token to replace or empty for none, 4 when that was made
-- Gives {token, when it was made} that count now.

local held = redis.call('HMGET', KEYS[1], 'token', 'token_made')
if held[1] and (held[1] ~= ARGV[3] or held[2] ~= ARGV[4]) then
  return held
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'token_made', ARGV[2])
return { ARGV[1], ARGV[2] }
