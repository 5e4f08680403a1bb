-- Milliseconds of the server, unless the caller brings its own, which only tests do.
local function now_ms_from(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Lua's own conversion writes large numbers as 1e+15.
local function decimal(number)
  return string.format('%.0f', number)
end
