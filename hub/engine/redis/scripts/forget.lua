-- Removes the inbox, the devices, the debts and what is known of the notifications of a user. Ids that are in
-- the inbox no more are forgotten by themselves.
--
-- Gives device, hash and nonce of each token that is to be released.

local user = open_user(ARGV[6])
local tokens = {}
for device in string.gmatch(user.devices, '%S+') do
  local row = load_row(user, device)
  if row then
    clear_due(row)
    if row[HASH] then
      table.insert(tokens, device)
      table.insert(tokens, row[HASH])
      table.insert(tokens, row[NONCE] or '')
    end
  end
  redis.call('DEL', row_key(user, device))
end
for _, entry in ipairs(redis.call('XRANGE', user.log_key, '-', '+')) do
  local id = string.match(entry[2][4] or '', '^%l %d+ [01] ([^\n]*)\n')
  if id then
    redis.call('DEL', seen_key_of(user, id), base .. 'trace:' .. #user.owner .. ':' .. user.owner .. ':' .. id)
  end
end
redis.call('DEL', user.key, user.log_key, user.meta_key)
return tokens
