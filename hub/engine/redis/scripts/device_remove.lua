-- Forgets a device with its debts.
--
-- ARGV  7 device
-- Gives {0} when there was none, else {1, hash and nonce of its token or empty}.

local user = open_user(ARGV[6])
local row = user.name and load_row(user, ARGV[7])
local answer = { 0 }
if row then
  clear_due(row)
  redis.call('DEL', row.key)
  local devices = {}
  for each in string.gmatch(user.devices, '%S+') do
    if each ~= ARGV[7] then
      table.insert(devices, each)
    end
  end
  put_user(user, 'devices', table.concat(devices, ' '))
  answer = { 1, row[HASH] or '', row[NONCE] or '' }
end
save_user(user)
return answer
