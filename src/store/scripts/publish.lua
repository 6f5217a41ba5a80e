-- Makes a finished generation current and announces it, in one step.
--   KEYS[1] head  KEYS[2] log  KEYS[3] names  KEYS[4] due  KEYS[5] last failure  KEYS[6] lease
--   KEYS[7…] the generations: the new one, then those before it, newest first: the current one, then those kept
--   ARGV[1] id  ARGV[2] nonce  ARGV[3] total  ARGV[4] entries of its own  ARGV[5] chunk_len  ARGV[6] as_of, ms
--   ARGV[7] hash of the definition  ARGV[8] pins_from
--   ARGV[9] ARGV[10] ARGV[11] id, nonce and kept list of the head that the caller has read, '' where it has none
--   ARGV[12] the lease's value, '' without lease
--   ARGV[13] life of the head, ms  ARGV[14] life of the generation, ms  ARGV[15] pin_for, ms  ARGV[16] generations kept at most
--   ARGV[17] listing  ARGV[18] family  ARGV[19] ms until the family is due, '' where that stays as it is
--   ARGV[20] length of the log  ARGV[21] channel  ARGV[22] partition  ARGV[23] version and  ARGV[24] body of the announcement
--   ARGV[25] edition of the definition  ARGV[26] content of the generation  ARGV[27] version of the origin's data, '' where unknown
--   ARGV[28] check sum of the head  ARGV[29] the delta, '' where it is whole  ARGV[30] entries of its base
--   ARGV[31] how many generations  ARGV[32…] two for each, see `generations`  then, for each before the new one, how the kept list
--   names it, '' for one that is pinned but never gone back to: a rollback undoes it
-- Returns {'moved'}; {'same'} (this very publish was done before); {'older', id, nonce} (a later generation is current);
--   {'fenced'} (the lease is not the caller's); {'incomplete'} (Redis does not hold what was written, or what it takes from its base);
--   {'retry'} (the head is not what the caller has read). An error: nothing was done.
local head = redis.pcall('HMGET', KEYS[1], 'id', 'nonce', 'kept')
if head.err then
    if not string.find(head.err, 'WRONGTYPE', 1, true) then
        return head
    end
    -- A value that no release wrote: as good as no head, and in the way of one. It is unlinked below.
    head = {}
end
local id, nonce, kept = unpack(head)
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
if ARGV[12] ~= '' and redis.call('GET', KEYS[6]) ~= ARGV[12] then
    return { 'fenced' }
end
local count = tonumber(ARGV[31])
local named = generations(count, 7, 32)
if not is_whole(named[1], ARGV[4], ARGV[30]) then
    return { 'incomplete' }
end
if (id or '') ~= ARGV[9] or (nonce or '') ~= ARGV[10] or (kept or '') ~= ARGV[11] then
    return { 'retry' }
end

local now = now_ms()
local pin_for, kept_max = tonumber(ARGV[15]), tonumber(ARGV[16])

-- From here on nothing fails. The log is written first: a server that takes no data refuses it, with nothing done yet.
local refused = refusal({
    { 'HSET', KEYS[1], '', '' }, { 'HDEL', KEYS[1], '' }, { 'PEXPIRE', KEYS[1], '1' }, { 'PTTL', KEYS[8] },
    { 'UNLINK', KEYS[7] }, { 'TYPE', KEYS[2] }, { 'XREVRANGE', KEYS[2], '+', '-' }, { 'XADD', KEYS[2], '*', '', '' },
    { 'ZADD', KEYS[3], '0', '' }, { 'PUBLISH', ARGV[21], '' }, { 'PEXPIREAT', KEYS[7], '1' },
    { 'ZREM', KEYS[9], '' }, { 'ZREMRANGEBYSCORE', KEYS[9], '0', '0' }, { 'ZRANGE', KEYS[9], '0', '0' },
    { 'ZSCORE', KEYS[9], '' },
}, { [KEYS[1]] = 'hash', [KEYS[2]] = 'stream', [KEYS[3]] = 'zset', [KEYS[4]] = 'zset' })
if refused then
    return refused
end
local entry, after = log(KEYS[2], ARGV[20], ARGV[23], ARGV[24])

redis.call('HSET', KEYS[1], 'id', ARGV[1], 'nonce', ARGV[2], 'total', ARGV[3], 'chunk_len', ARGV[5], 'as_of', ARGV[6],
    'definition', ARGV[7], 'pins_from', ARGV[8], 'definition_version', ARGV[25], 'content', ARGV[26], 'version', ARGV[27],
    'sum', ARGV[28], 'read_at', ARGV[6])
redis.call('HDEL', KEYS[1], 'deleted', 'delta')
if ARGV[29] ~= '' then
    redis.call('HSET', KEYS[1], 'delta', ARGV[29])
end
redis.call('PEXPIRE', KEYS[1], ARGV[13])
-- Before any other ends: from here on it holds its base.
live_until(named[1], now + tonumber(ARGV[14]), now, false)

-- Invariant 8: at most so many generations before the current one; those that are gone anyway do not count.
local keeping = {}
for number = 2, count do
    local generation = named[number]
    local left = redis.call('PTTL', KEYS[generation.at + 1])
    if left ~= -2 and not generation.base and is_base(generation.at) then
        -- Its stream lives as long as any that needs it; what it is kept for itself stands among the holders. The one that was
        -- current until now may not stand there yet.
        local ends = tonumber(redis.call('ZSCORE', KEYS[generation.at + 2], generation.name) or '')
        left = ends and ends - now or (number == 2 and left or -2)
    end
    if left ~= -2 then
        if #keeping < kept_max and pin_for > 0 then
            if left == -1 or left > pin_for then
                live_until(generation, now + pin_for, now, false)
            end
            local name = ARGV[30 + 2 * count + number]
            if name ~= '' then
                keeping[#keeping + 1] = name
            end
        else
            drop(generation, now)
        end
    end
end
redis.call('HSET', KEYS[1], 'kept', table.concat(keeping, ' '))

redis.call('ZADD', KEYS[3], 0, ARGV[17])
redis.call('UNLINK', KEYS[5])
if ARGV[19] ~= '' then
    redis.call('ZADD', KEYS[4], string.format('%.0f', now + tonumber(ARGV[19])), ARGV[18])
end

announce(ARGV[21], ARGV[23], ARGV[22], entry, after, ARGV[24])
return { 'moved' }
