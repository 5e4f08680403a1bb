-- What a node compares with its own books: whether this partition lost its memory, and how much it holds.
--
-- KEYS  1 term, 2 what the lease owns here
-- Gives {term or empty, number of owned entries}.

return {redis.call('HGET', KEYS[1], 'term') or '', redis.call('SCARD', KEYS[2])}
