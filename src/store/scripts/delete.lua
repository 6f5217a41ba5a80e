-- Deletes a listing: draws an id, leaves a tombstone with it, unlinks every generation and announces it, in one step. The
-- id is drawn here, so no generation drawn before the deletion can replace the tombstone.
--   KEYS[1] head  KEYS[2] last id of the partition  KEYS[3] log  KEYS[4] names  KEYS[5] due  KEYS[6] last failure
--   KEYS[7] kept generations  KEYS[8…] the keys of its generations: the current one and those kept
--   ARGV[1] greatest id the caller has seen in the partition  ARGV[2] nonce
--   ARGV[3] ARGV[4] id and nonce of the head that the caller has read, '' where it has none
--   ARGV[5] life of the tombstone, ms  ARGV[6] listing  ARGV[7] family
--   ARGV[8] length of the log  ARGV[9] channel  ARGV[10] partition  ARGV[11] version of the announcement
--   ARGV[12] ARGV[13] the announcement's body before and after the generation
--   ARGV[14] how many generations  ARGV[15…] four for each, see `generations`
-- Returns {'deleted', id}; {'retry'} (the head is not what the caller has read). An error: nothing was done.
local head = redis.pcall('HMGET', KEYS[1], 'id', 'nonce')
if head.err then
    if not string.find(head.err, 'WRONGTYPE', 1, true) then
        return head
    end
    -- A value that no release wrote: as good as no head, and in the way of one. It is unlinked below.
    head = {}
end
local id, nonce = unpack(head)
if (id or '') ~= ARGV[3] or (nonce or '') ~= ARGV[4] then
    return { 'retry' }
end

local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[2]) or '0') or 0
-- The head counts as seen: after a failover it may be ahead of `last`. Ids stay below 2^53: a greater one no release wrote.
local seen = tonumber(id or '0') or 0
if seen >= 2^53 then
    seen = 0
end
local drawn = math.max(last + 1, now_us, tonumber(ARGV[1]) + 1, seen + 1)
local drawn_text = string.format('%.0f', drawn)

-- From here on nothing fails. The log is written first: a server that takes no data refuses it, with nothing done yet.
local refused = refusal({
    { 'SET', KEYS[2], '' }, { 'HSET', KEYS[1], '', '' }, { 'HDEL', KEYS[1], '' }, { 'PEXPIRE', KEYS[1], '1' },
    { 'UNLINK', KEYS[1] }, { 'TYPE', KEYS[3] }, { 'XREVRANGE', KEYS[3], '+', '-' }, { 'XADD', KEYS[3], '*', '', '' },
    { 'ZREM', KEYS[4], '' }, { 'PUBLISH', ARGV[9], '' }, { 'PEXPIREAT', KEYS[1], '1' },
    { 'ZREMRANGEBYSCORE', KEYS[4], '0', '0' }, { 'ZRANGE', KEYS[4], '0', '0' },
}, { [KEYS[1]] = 'hash', [KEYS[3]] = 'stream', [KEYS[4]] = 'zset', [KEYS[5]] = 'zset' })
if refused then
    return refused
end
local body = ARGV[12] .. drawn_text .. '-' .. ARGV[2] .. ARGV[13]
local entry, after = log(KEYS[3], ARGV[8], ARGV[11], body)

redis.call('SET', KEYS[2], drawn_text)
redis.call('HSET', KEYS[1], 'id', drawn_text, 'nonce', ARGV[2], 'deleted', '1', 'pins_from', drawn_text)
redis.call('HDEL', KEYS[1], 'total', 'chunk_len', 'as_of', 'definition', 'sum', 'delta', 'codec', 'bytes',
    'next_change')
redis.call('PEXPIRE', KEYS[1], ARGV[5])
local now = math.floor(now_us / 1000)
for _, generation in ipairs(generations(tonumber(ARGV[14]), 15)) do
    drop(generation, now)
end
redis.call('UNLINK', KEYS[7])
redis.call('ZREM', KEYS[4], ARGV[6])
redis.call('ZREM', KEYS[5], ARGV[7])
redis.call('UNLINK', KEYS[6])

announce(ARGV[9], ARGV[11], ARGV[10], entry, after, body)
return { 'deleted', drawn_text }
