-- Third step of a registration: the token leaves a row that held it before, unless that row was registered
-- anew meanwhile, whose own registration then sees to it that only one holds the token.
--
-- ARGV  7 device, 8 nonce by which the row held it, 9 hash

local row = load_row({ owner = ARGV[6] }, ARGV[7])
if row and row[NONCE] == ARGV[8] and row[HASH] == ARGV[9] then
  drop_token(row)
  save_row(row)
end
