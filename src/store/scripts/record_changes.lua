-- Records changes that concern a partition: before a shop is told that they are taken.
--   KEYS[1] last id of the partition  KEYS[2] changes  KEYS[3] ids that are gone  KEYS[4] up to where changes are worked off
--   ARGV[1] greatest id the caller has seen  ARGV[2] how many changes  ARGV[3] the most that may be kept
--   ARGV[4] how long an entry is kept at least, ms: longer than any read  ARGV[5] token, '' without  ARGV[6] the changes
--   ARGV[7…] for each item that is gone: its id, and for how long, ms
-- Returns {'recorded', id}: all that is drawn from now on is later; {'full'}.
--
-- An entry counts, in `sum`, all changes of the partition up to it: so the number of those that are kept takes two reads.
local time = redis.call('TIME')
local now_us = tonumber(time[1]) * 1000000 + tonumber(time[2])
local last = tonumber(redis.call('GET', KEYS[1]) or '0') or 0

local function entry_at(reply)
    local entry = reply[1]
    if not entry then
        return 0, 0, 0
    end
    local fields = {}
    for at = 1, #entry[2], 2 do
        fields[entry[2][at]] = tonumber(entry[2][at + 1])
    end
    return tonumber(string.match(entry[1], '^%d+')), fields.sum or 0, fields.n or 0
end
local newest, sum = entry_at(redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1))
local _, oldest_sum, oldest_n = entry_at(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1))
local many = tonumber(ARGV[2])
if sum - oldest_sum + oldest_n + many > tonumber(ARGV[3]) then
    return { 'full' }
end

local id = math.max(last + 1, now_us, tonumber(ARGV[1]) + 1, newest + 1)
local id_text = string.format('%.0f', id)
local worked_off = tonumber(redis.call('GET', KEYS[4]) or '0') or 0
local from = math.min(worked_off + 1, now_us - tonumber(ARGV[4]) * 1000)
redis.call('XADD', KEYS[2], 'MINID', '=', string.format('%.0f-0', math.max(from, 0)), id_text .. '-0',
    'n', ARGV[2], 'sum', string.format('%.0f', sum + many), 'token', ARGV[5], 'body', ARGV[6])
redis.call('SET', KEYS[1], id_text)
local now_ms = math.floor(now_us / 1000)
if #ARGV > 6 then
    redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', string.format('%.0f', now_ms))
    for at = 7, #ARGV, 2 do
        redis.call('ZADD', KEYS[3], 'GT', string.format('%.0f', now_ms + tonumber(ARGV[at + 1])), ARGV[at])
    end
end
return { 'recorded', id_text }
