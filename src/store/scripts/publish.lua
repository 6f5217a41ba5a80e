-- Makes a finished generation current and announces it, in one step.
--   KEYS[1] head  KEYS[2] log  KEYS[3] names  KEYS[4] due  KEYS[5] last failure  KEYS[6] lease  KEYS[7] kept generations
--   KEYS[8] changes that shops have told of  KEYS[9…] the keys of the generations that are named
--   ARGV[1] id  ARGV[2] nonce  ARGV[3] total  ARGV[4] entries of its group's stream  ARGV[5] chunk_len  ARGV[6] as_of, ms
--   ARGV[7] hash of the definition  ARGV[8] pins_from
--   ARGV[9] ARGV[10] id and nonce of the head that the caller has read, '' where it has none
--   ARGV[11] the lease's value, '' without lease
--   ARGV[12] life of the head, ms  ARGV[13] life of the generation, ms  ARGV[14] pin_for, ms  ARGV[15] bytes, as the head keeps them
--   ARGV[16] listing  ARGV[17] family  ARGV[18] ms until the family is due, '' where that stays as it is
--   ARGV[19] length of the log  ARGV[20] channel  ARGV[21] partition  ARGV[22] version and  ARGV[23] body of the announcement
--   ARGV[24] edition of the definition  ARGV[25] content of the generation  ARGV[26] version of the origin's data, '' where unknown
--   ARGV[27] check sum of the head  ARGV[28] the delta, '' where it is whole  ARGV[29] chunks that its layers hold
--   ARGV[30] how its chunks lie, '' where they are plain
--   ARGV[31] '1': the second generation is the one that this replaces  ARGV[32] as what that is kept
--   ARGV[33] the last of the changes that are in it, '' where none matters  ARGV[34] '1': only some items were read, so a failure stays
--   ARGV[35] the listing's next change, '' where none is known
--   ARGV[36] how many generations are named  ARGV[37…] four for each, see `generations`: the new one, the one that it replaces, those
--   that end now  then kept ones by their members: '-' before one that ends, '!' before one that is undone
-- Returns {'moved'}; {'same'} (this very publish was done before); {'older', id, nonce} (a later generation is current);
--   {'fenced'} (the lease is not the caller's); {'incomplete'} (Redis does not hold what was written, or what it takes from its group);
--   {'changed'} (later changes are recorded); {'retry'} (the head is not what the caller has read). An error: nothing was done.
local head = redis.pcall('HMGET', KEYS[1], 'id', 'nonce')
if head.err then
    if not string.find(head.err, 'WRONGTYPE', 1, true) then
        return head
    end
    -- A value that no release wrote: as good as no head, and in the way of one. It is unlinked below.
    head = {}
end
local id, nonce = unpack(head)
if id == ARGV[1] and nonce == ARGV[2] then
    return { 'same' }
end
-- Invariant 3: the head never moves to an older generation. An equal id with another nonce was drawn in a history that a
-- failover has undone: two generations cannot both be the one after the last.
local current = tonumber(id or '')
-- Ids stay below 2^53: a greater one no release wrote.
if current and current < 2^53 and current >= tonumber(ARGV[1]) then
    return { 'older', id, nonce or '' }
end
if ARGV[11] ~= '' and redis.call('GET', KEYS[6]) ~= ARGV[11] then
    return { 'fenced' }
end
local count = tonumber(ARGV[36])
local named = generations(count, 37)
if not is_whole(named[1], ARGV[4], ARGV[29]) then
    return { 'incomplete' }
end
if ARGV[33] ~= '' then
    -- In the same step as the head moves: an earlier read never hides a change that was recorded since.
    local newest = redis.call('XREVRANGE', KEYS[8], '+', '-', 'COUNT', 1)[1]
    if newest and tonumber(string.match(newest[1], '^%d+')) > tonumber(ARGV[33]) then
        return { 'changed' }
    end
end
if (id or '') ~= ARGV[9] or (nonce or '') ~= ARGV[10] then
    return { 'retry' }
end

local now, pin_for = now_ms(), tonumber(ARGV[14])

-- From here on nothing fails. The log is written first: a server that takes no data refuses it, with nothing done yet.
local refused = refusal({
    { 'HSET', KEYS[1], '', '' }, { 'HDEL', KEYS[1], '' }, { 'PEXPIRE', KEYS[1], '1' }, { 'PTTL', KEYS[9] },
    { 'UNLINK', KEYS[7] }, { 'TYPE', KEYS[2] }, { 'XREVRANGE', KEYS[2], '+', '-' }, { 'XADD', KEYS[2], '*', '', '' },
    { 'ZADD', KEYS[3], '0', '' }, { 'PUBLISH', ARGV[20], '' }, { 'PEXPIREAT', KEYS[9], '1' },
    { 'ZREM', KEYS[7], '' }, { 'ZREMRANGEBYSCORE', KEYS[7], '0', '0' }, { 'ZRANGE', KEYS[7], '0', '0' },
    { 'ZSCORE', KEYS[7], '' },
}, { [KEYS[1]] = 'hash', [KEYS[2]] = 'stream', [KEYS[3]] = 'zset', [KEYS[4]] = 'zset', [KEYS[7]] = 'zset' })
if refused then
    return refused
end
local entry, after = log(KEYS[2], ARGV[19], ARGV[22], ARGV[23])

redis.call('HSET', KEYS[1], 'id', ARGV[1], 'nonce', ARGV[2], 'total', ARGV[3], 'chunk_len', ARGV[5], 'as_of', ARGV[6],
    'definition', ARGV[7], 'pins_from', ARGV[8], 'definition_version', ARGV[24], 'content', ARGV[25], 'version', ARGV[26],
    'sum', ARGV[27], 'read_at', ARGV[6], 'bytes', ARGV[15])
redis.call('HDEL', KEYS[1], 'deleted', 'delta', 'codec', 'next_change')
if ARGV[28] ~= '' then
    redis.call('HSET', KEYS[1], 'delta', ARGV[28])
end
if ARGV[30] ~= '' then
    redis.call('HSET', KEYS[1], 'codec', ARGV[30])
end
if ARGV[35] ~= '' then
    redis.call('HSET', KEYS[1], 'next_change', ARGV[35])
end
redis.call('PEXPIRE', KEYS[1], ARGV[12])
-- Before any other ends: from here on it holds its group.
live_until(named[1], now + tonumber(ARGV[13]), now, false)

-- Invariant 8: what is replaced is kept for `pin_for`, and ends before where the caller has found too many bytes kept.
local replaced = ARGV[31] == '1' and named[2]
local left = replaced and left_of(replaced, now) or -2
if left ~= -2 and pin_for > 0 then
    if left == -1 or left > pin_for then
        left = pin_for
        live_until(replaced, now + left, now, false)
    end
    redis.call('ZADD', KEYS[7], string.format('%.0f', now + left), ARGV[32])
elseif left ~= -2 then
    drop(replaced, now)
end
for number = replaced and 3 or 2, count do
    drop(named[number], now)
end
for argument = 37 + 4 * count, #ARGV do
    local member = string.sub(ARGV[argument], 2)
    local ends = redis.call('ZSCORE', KEYS[7], member)
    redis.call('ZREM', KEYS[7], member)
    if ends and string.sub(ARGV[argument], 1, 1) == '!' then
        redis.call('ZADD', KEYS[7], ends, ARGV[argument])
    end
end
redis.call('ZREMRANGEBYSCORE', KEYS[7], '-inf', string.format('%.0f', now))
local last = redis.call('ZRANGE', KEYS[7], '-1', '-1', 'WITHSCORES')[2]
if last then
    redis.call('PEXPIREAT', KEYS[7], string.format('%.0f', tonumber(last)))
end

redis.call('ZADD', KEYS[3], 0, ARGV[16])
if ARGV[34] ~= '1' then
    redis.call('UNLINK', KEYS[5])
end
if ARGV[18] ~= '' then
    redis.call('ZADD', KEYS[4], string.format('%.0f', now + tonumber(ARGV[18])), ARGV[17])
end

announce(ARGV[20], ARGV[22], ARGV[21], entry, after, ARGV[23])
return { 'moved' }
