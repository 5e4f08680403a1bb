-- An entry of presence: "<lease>\n<bytes of user>\n<user><the rest, opaque here>".

-- Gives the lease and the user.
local function parts_of(entry)
  local first = string.find(entry, '\n', 1, true)
  local second = string.find(entry, '\n', first + 1, true)
  local user_bytes = tonumber(string.sub(entry, first + 1, second - 1))
  return string.sub(entry, 1, first - 1), string.sub(entry, second + 1, second + user_bytes)
end

-- One connection less for a user; the last one takes the user with it.
local function count_out(users, user)
  if redis.call('HINCRBY', users, user, -1) <= 0 then
    redis.call('HDEL', users, user)
  end
end
