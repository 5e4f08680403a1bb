-- The user opened a notification on a device, which need not be known.
--
-- ARGV  7 device, 8 id
-- Gives 1 for a notification that is known, else 0.

local user = { owner = ARGV[6] }
if not find_seen(user, ARGV[8]) then
  return 0
end
mark(user, ARGV[8], line(now, 'opened', ARGV[7]))
return 1
