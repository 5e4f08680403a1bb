-- The inbox now.
--
-- Gives {offset, epoch, read, unread}.

local user = open_user(ARGV[6])
local unread = unread_of(user)
save_user(user)
return { user.stream.offset, epoch_of(user.stream), user.read, unread }
