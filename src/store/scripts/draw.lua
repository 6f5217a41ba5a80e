-- Draws generation ids and, for a refresh, takes the family's lease with them: both or neither.
--   KEYS[1] last id of the partition  [KEYS[2] lease  KEYS[3] last failure]
--   ARGV[1] how many ids  ARGV[2] greatest id the caller has seen in the partition
--   [ARGV[3] owner  ARGV[4] nonce of the first generation  ARGV[5] life of the lease, ms  ARGV[6] '1': even if a back-off runs]
-- Returns {'granted', first id, now in ms}: the ids are consecutive;
--   {'leased', greatest id drawn up to now, ms left}; {'backing_off', ms left, the failure's text}.
--
-- Redis's own clock orders draws; `last` keeps them apart where it stands still or steps back, and what callers have seen
-- does so where a failover has rewound `last`.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now_ms = math.floor(now_us / 1000)
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0

if #KEYS > 1 then
    -- Invariant 6: while a node holds the lease no other begins to read the origin.
    local left = redis.call('PTTL', KEYS[2])
    if left ~= -2 then
        return { 'leased', string.format('%.0f', math.max(last, now_us)), math.max(left, 0) }
    end
    if ARGV[6] ~= '1' then
        local retry_at, failure = unpack(redis.call('HMGET', KEYS[3], 'retry_at', 'error'))
        local wait = (tonumber(retry_at or '0') or 0) - now_ms
        if wait > 0 then
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
return { 'granted', first_text, now_ms }
