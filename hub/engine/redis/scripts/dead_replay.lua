-- Owes again what dead letters of one lane tell of, where that can be sent at all, and drops the letters.
--
-- KEYS  1 dead letters
-- ARGV  6 names of the letters, blank between them
-- Gives how many are owed again.

local count = 0
for name in string.gmatch(ARGV[6], '%S+') do
  local letter = redis.call('XRANGE', KEYS[1], name, name)[1]
  if letter then
    local fields = {}
    for i = 1, #letter[2], 2 do
      fields[letter[2][i]] = letter[2][i + 1]
    end
    redis.call('XDEL', KEYS[1], name)
    local user = open_user(fields.owner)
    local row = user.name and load_row(user, fields.device)
    if row and owe_again(user, row, tonumber(fields.offset)) then
      count = count + 1
      save_row(row)
    end
    save_user(user)
  end
end
return count
