-- Draws generation ids and, for a refresh, takes the family's lease with them: both or neither.
--   KEYS[1] last id of the partition  [KEYS[2] lease  KEYS[3] last failure  [KEYS[4] what was asked for  KEYS[5] due set]]
--   ARGV[1] how many ids  ARGV[2] greatest id the caller has seen in the partition
--   [ARGV[3] owner  ARGV[4] nonce of the first generation  ARGV[5] life of the lease, ms  ARGV[6] '1': even if a back-off runs]
--   [ARGV[7] family  ARGV[8] coalesce_for, ms  ARGV[9] '1': only if a refresh was asked for  ARGV[10] due time that the
--   caller's claim has set, or '']
-- Returns {'granted', first id, now in ms, mark}: the ids are consecutive; a refresh was asked for where `mark` is not '',
--     and is answered by what is drawn above it;
--   {'leased', greatest id drawn up to now, ms left}; {'backing_off', ms left, the failure's text};
--   with KEYS[4], {'unasked'}; {'too_soon', ms left} (the last read is younger than `coalesce_for`; it is due then).
--
-- Redis's own clock orders draws; `last` keeps them apart where it stands still or steps back, and what callers have seen
-- does so where a failover has rewound `last`.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0
local mark

local function due_in(wait, condition)
    redis.call('ZADD', KEYS[5], condition, string.format('%.0f', now_ms + wait), ARGV[7])
end

if #KEYS > 3 then
    local asked = redis.pcall('HMGET', KEYS[4], 'mark', 'read_at')
    mark = tonumber(asked[1] or '')
    if not mark and ARGV[9] == '1' then
        return { 'unasked' }
    end
    local coalesce_for = tonumber(ARGV[8])
    -- Where the clock has stepped back a read seems to lie ahead.
    local wait = math.min((tonumber(asked[2] or '') or 0) + coalesce_for - now_ms, coalesce_for)
    if wait > 0 then
        -- Where that read has set the due time since, and nobody has asked, there is nothing to bring forward.
        if mark or redis.call('ZSCORE', KEYS[5], ARGV[7]) == ARGV[10] then
            due_in(wait, 'LT')
        end
        return { 'too_soon', wait }
    end
end
if #KEYS > 1 then
    -- Invariant 6: while a node holds the lease no other begins to read the origin.
    local left = redis.call('PTTL', KEYS[2])
    local life = tonumber(ARGV[5])
    if left > life then
        -- The clock was set back: a lease whose holder is dead would last until it has caught up.
        redis.call('PEXPIRE', KEYS[2], life)
        left = life
    end
    if left ~= -2 then
        if mark then
            -- Its holder may die before it answers.
            due_in(math.max(left, 0), 'LT')
        end
        return { 'leased', string.format('%.0f', math.max(last, now_us)), math.max(left, 0) }
    end
    if ARGV[6] ~= '1' then
        local retry_at, failure, failed_at = unpack(redis.call('HMGET', KEYS[3], 'retry_at', 'error', 'at'))
        local wait = (tonumber(retry_at or '0') or 0) - now_ms
        -- Who asks after a failure does not wait for the back-off.
        local insists = mark and mark / 1000 > (tonumber(failed_at or '') or 0)
        -- A failure that lies ahead is of before the clock was set back.
        local lies_ahead = (tonumber(failed_at or '') or 0) > now_ms + 5000
        if wait > 0 and not insists and not lies_ahead then
            return { 'backing_off', wait, failure or '' }
        end
    end
end

local first = math.max(last + 1, now_us, tonumber(ARGV[2]) + 1)
local first_text = string.format('%.0f', first)
redis.call('SET', KEYS[1], string.format('%.0f', first + tonumber(ARGV[1]) - 1))
if #KEYS > 1 then
    redis.call('SET', KEYS[2], ARGV[3] .. ' ' .. first_text .. '-' .. ARGV[4], 'PX', ARGV[5])
end
if mark then
    -- As a claim does: nobody else need look before the lease may have lapsed.
    due_in(tonumber(ARGV[5]), 'XX')
end
return { 'granted', first_text, now_ms, mark and string.format('%.0f', mark) or '' }
