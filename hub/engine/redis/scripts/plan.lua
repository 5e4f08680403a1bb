-- What a notification would do to each device now.
--
-- Gives for each device {id, "socket" | "push" | "none", ms to wait}.

local user = open_user(ARGV[6])
save_user(user)
local planned = {}
for _, row in ipairs(rows_of(user)) do
  local way, wait_ms
  if is_usable(row) then
    wait_ms = wait_ms_of(row)
    way = wait_ms > 0 and 'socket' or 'push'
  else
    way, wait_ms = is_connected(row) and 'socket' or 'none', 0
  end
  table.insert(planned, { row.device, way, wait_ms })
end
return planned
