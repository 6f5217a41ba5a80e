-- Remembers that a refresh of a family was asked for, and makes the family due: not before `coalesce_for` after its last read.
--   KEYS[1] what was asked for  KEYS[2] due set  KEYS[3] last id of the partition  KEYS[4] lease
--   ARGV[1] family  ARGV[2] coalesce_for, ms  ARGV[3] how long this is remembered, ms
-- Returns ms until it is due.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local now = math.floor(now_us / 1000)
local asked = redis.pcall('HGET', KEYS[1], 'read_at')
if type(asked) == 'table' then
    -- A value that no release wrote.
    redis.call('UNLINK', KEYS[1])
    asked = nil
end
local read_at = tonumber(asked or '') or 0
-- A read under way counts: its lease names its generation, whose id is the time of its draw.
local drawn = string.match(redis.call('GET', KEYS[4]) or '', ' (%d+)%-')
if drawn then
    read_at = math.max(read_at, math.floor(tonumber(drawn) / 1000))
end
local coalesce_for = tonumber(ARGV[2])
-- Where the clock has stepped back a read seems to lie ahead.
local wait = math.max(0, math.min(read_at + coalesce_for - now, coalesce_for))
-- A generation with a greater id is drawn after this call.
local mark = math.max(tonumber(redis.call('GET', KEYS[3]) or '') or 0, now_us)
redis.call('HSET', KEYS[1], 'mark', string.format('%.0f', mark))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
-- LT: what is due earlier stays so.
redis.call('ZADD', KEYS[2], 'LT', string.format('%.0f', now + wait), ARGV[1])
return wait
