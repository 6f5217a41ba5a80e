-- Writes a listing's next change into its head, and announces the head. Nothing else is written: nothing becomes younger.
--   KEYS[1] head  KEYS[2] log
--   ARGV[1] id and ARGV[2] nonce of the generation  ARGV[3] the next change, '' where none is known
--   ARGV[4] length of the log  ARGV[5] channel  ARGV[6] partition  ARGV[7] version and ARGV[8] body of the announcement
-- Returns 1; 0 where the head names another generation by now. An error: nothing was done.
local id, nonce, deleted = unpack(redis.call('HMGET', KEYS[1], 'id', 'nonce', 'deleted'))
if id ~= ARGV[1] or nonce ~= ARGV[2] or deleted then
    return 0
end
local refused = refusal({
    { 'HSET', KEYS[1], '', '' }, { 'HDEL', KEYS[1], '' }, { 'UNLINK', KEYS[2] }, { 'TYPE', KEYS[2] },
    { 'XREVRANGE', KEYS[2], '+', '-' }, { 'XADD', KEYS[2], '*', '', '' }, { 'PUBLISH', ARGV[5], '' },
}, { [KEYS[2]] = 'stream' })
if refused then
    return refused
end
local entry, after = log(KEYS[2], ARGV[4], ARGV[7], ARGV[8])
if ARGV[3] ~= '' then
    redis.call('HSET', KEYS[1], 'next_change', ARGV[3])
else
    redis.call('HDEL', KEYS[1], 'next_change')
end
announce(ARGV[5], ARGV[7], ARGV[6], entry, after, ARGV[8])
return 1
