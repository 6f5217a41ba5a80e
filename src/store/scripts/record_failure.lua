-- Remembers that a family's refresh failed, and sets it due again after the back-off.
--   KEYS[1] last failure  KEYS[2] due set
--   ARGV[1] what failed  ARGV[2] back-off, ms  ARGV[3] how long the failure is remembered, ms
--   ARGV[4] family, or '' where it is not to be scheduled
--   [ARGV[5] when a read said that there are no items, ms; 'no' where there are some; '' where it was not read to its end
--   ARGV[6] hash of the definition: what reads by another one came to is forgotten]
-- Returns the failures in a row.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local retry_at = string.format('%.0f', now + tonumber(ARGV[2]))
if ARGV[6] and redis.call('HGET', KEYS[1], 'definition') ~= ARGV[6] then
    redis.call('HDEL', KEYS[1], 'count', 'empty_since')
    redis.call('HSET', KEYS[1], 'definition', ARGV[6])
end
local count = redis.call('HINCRBY', KEYS[1], 'count', 1)
redis.call('HSET', KEYS[1], 'error', ARGV[1], 'at', string.format('%.0f', now), 'retry_at', retry_at)
if ARGV[5] == 'no' then
    redis.call('HDEL', KEYS[1], 'empty_since')
elseif (ARGV[5] or '') ~= '' then
    local since = tonumber(redis.call('HGET', KEYS[1], 'empty_since') or '')
    -- Where the clock has stepped back, the time that is remembered lies ahead.
    if not since or since > tonumber(ARGV[5]) then
        redis.call('HSET', KEYS[1], 'empty_since', ARGV[5])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
if ARGV[4] ~= '' then
    redis.call('ZADD', KEYS[2], retry_at, ARGV[4])
end
return count
