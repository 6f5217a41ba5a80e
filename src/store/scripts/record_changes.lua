-- Records changes that concern a partition: before a shop is told that they are taken.
--   KEYS[1] last id of the partition  KEYS[2] changes  KEYS[3] ids that are gone  KEYS[4] up to where changes are worked off
--   KEYS[5] ids that are recalled
--   ARGV[1] greatest id the caller has seen  ARGV[2] how many changes  ARGV[3] the most that may be kept
--   ARGV[4] how long an entry is kept at least, ms: longer than any read  ARGV[5] the same where too many are kept
--   ARGV[6] token, '' without  ARGV[7] the changes  ARGV[8] '1': ids may be back that are not named here
--   ARGV[9] how many ids are back  ARGV[10] how many are recalled no more  ARGV[11] how many are gone  ARGV[12…] all of these, and then those
--   that are recalled: of each that is gone or recalled its id, and for how long, ms
-- Returns {'recorded', id}: all that is drawn from now on is later; {'full'}; {'gone'} (name the ids that are back: some are gone).
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
local many = tonumber(ARGV[2])
local worked_off = tonumber(redis.call('GET', KEYS[4]) or '0') or 0

-- Entries end that are worked off and so old. Whether that leaves room.
local from
local function has_room(kept_for)
    from = string.format('%.0f-0', math.max(math.min(worked_off + 1, now_us - tonumber(kept_for) * 1000), 0))
    local oldest, oldest_sum, oldest_n = entry_at(redis.call('XRANGE', KEYS[2], from, '+', 'COUNT', 1))
    return (oldest == 0 and many or sum - oldest_sum + oldest_n + many) <= tonumber(ARGV[3])
end
if not has_room(ARGV[4]) and not has_room(ARGV[5]) then
    return { 'full' }
end
if ARGV[8] == '1' and redis.call('ZCARD', KEYS[3]) > 0 then
    return { 'gone' }
end

-- Above `worked_off` too: a node that has not noticed another history may have written that, and the clock may have been set back.
local id = math.max(last + 1, now_us, tonumber(ARGV[1]) + 1, newest + 1, worked_off + 1)
local id_text = string.format('%.0f', id)
redis.call('XADD', KEYS[2], 'MINID', '=', from, id_text .. '-0',
    'n', ARGV[2], 'sum', string.format('%.0f', sum + many), 'token', ARGV[6], 'body', ARGV[7])
redis.call('SET', KEYS[1], id_text)
local now_ms = math.floor(now_us / 1000)
-- In the same step as the entry: what was told later counts.
-- Many members a call: a call for each of 10,000 items would hold the server up for long.
local RUN = 1000
local function remove(key, from, to)
    for at = from, to, RUN do
        redis.call('ZREM', key, unpack(ARGV, at, math.min(at + RUN - 1, to)))
    end
end
local function add(key, from, to)
    if from <= to then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', string.format('%.0f', now_ms))
    end
    for first = from, to, RUN do
        local members = {}
        for at = first, math.min(first + RUN - 1, to), 2 do
            members[#members + 1] = string.format('%.0f', now_ms + tonumber(ARGV[at + 1]))
            members[#members + 1] = ARGV[at]
        end
        redis.call('ZADD', key, 'GT', unpack(members))
    end
end
local returned = 12 + tonumber(ARGV[9])
local gone = returned + tonumber(ARGV[10])
local recalled = gone + 2 * tonumber(ARGV[11])
remove(KEYS[3], 12, returned - 1)
remove(KEYS[5], returned, gone - 1)
add(KEYS[3], gone, recalled - 1)
add(KEYS[5], recalled, #ARGV)
return { 'recorded', id_text }
