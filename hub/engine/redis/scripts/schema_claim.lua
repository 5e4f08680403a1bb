-- Agrees on what all who share these keys must have in common, or says what stands against it.
-- With no living node, whoever comes decides; with one, only the policy may be replaced, and only on purpose.
--
-- A newcomer takes its lease in the same step: of two that come at once the second sees the first.
--
-- KEYS  1 schema, 2 leases, 3 grace
-- ARGV  1 schema number, 2 partitions, 3 policy, 4 options, 5 own lease, 6 "replace" or empty,
--       7 now in ms or empty, 8 length in ms of the lease to take, or empty for a node that holds it
-- Gives {"ok" | "refused", number of other living nodes, schema, partitions, policy, options, most partitions};
-- the last five are those that hold now.

local now = now_ms_from(ARGV[7])

local function fields()
  return redis.call('HMGET', KEYS[1], 'schema', 'partitions', 'policy', 'options', 'most_partitions')
end

local function answer(verdict, others)
  local held = fields()
  return {verdict, others, held[1], held[2], held[3], held[4], held[5]}
end

local others = redis.call('ZCOUNT', KEYS[2], '(' .. decimal(now), '+inf')
local own = redis.call('ZSCORE', KEYS[2], ARGV[5])
if own and tonumber(own) > now then
  others = others - 1
end

local held = fields()
local known = held[1] and held[2] and held[3] and held[4]
local number = ARGV[1]
if known and others > 0 then
  local distance = math.abs(tonumber(held[1]) - tonumber(number))
  if held[2] ~= ARGV[2] or distance > 1 or (held[3] ~= ARGV[3] and ARGV[6] == '') then
    return answer('refused', others)
  end
  -- Neighbouring schemas run side by side while hubs are replaced one by one; the newer one stays written.
  number = tostring(math.max(tonumber(held[1]), tonumber(number)))
end
local most = math.max(tonumber(held[5] or '0'), tonumber(held[2] or '0'), tonumber(ARGV[2]))
redis.call('HSET', KEYS[1], 'schema', number, 'partitions', ARGV[2], 'policy', ARGV[3], 'options', ARGV[4],
  'most_partitions', decimal(most))
if ARGV[8] ~= '' then
  hold_lease(KEYS[2], KEYS[3], ARGV[5], tonumber(ARGV[8]), now)
end
return answer('ok', others)
