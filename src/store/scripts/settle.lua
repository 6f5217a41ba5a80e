-- A read of a family has ended, under its lease still: what was asked for before it was drawn is answered, if it succeeded.
--   KEYS[1] what was asked for  KEYS[2] due set
--   ARGV[1] id of its first generation  ARGV[2] when it was drawn, ms  ARGV[3] family  ARGV[4] coalesce_for, ms
--   ARGV[5] how long this is remembered, ms  ARGV[6] '1': it succeeded, '' where it failed, which sets the due time by itself
--   ARGV[7] ms until the family is due, '' where it is not to be
-- Returns '1' where a refresh was asked for meanwhile: then the family is due `coalesce_for` after this read's draw.
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
    -- A value that no release wrote.
    redis.call('UNLINK', KEYS[1])
end
redis.call('HSET', KEYS[1], 'read_at', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
if ARGV[6] ~= '1' then
    return '0'
end
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local mark = tonumber(redis.call('HGET', KEYS[1], 'mark') or '')
if mark and mark >= tonumber(ARGV[1]) then
    local coalesce_for = tonumber(ARGV[4])
    local wait = math.max(0, math.min(tonumber(ARGV[2]) + coalesce_for - now, coalesce_for))
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + wait), ARGV[3])
    return '1'
end
redis.call('HDEL', KEYS[1], 'mark')
if ARGV[7] ~= '' then
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[7])), ARGV[3])
else
    redis.call('ZREM', KEYS[2], ARGV[3])
end
return '0'
