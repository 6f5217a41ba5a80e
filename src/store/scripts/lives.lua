-- Stands before the scripts that lengthen or end the lives of generations. It is no script by itself.
--
-- A whole generation lies in a stream and a sidecar. A delta has a sidecar of its own, and takes its chunks from a *group*: a whole
-- generation, its base, and the hash beside it with the chunks that generations after the base have changed. The group's holders are the
-- generations that need it, the base among them: a sorted set by the ends of their lives in ms. A group has the longest life among its
-- holders, and ends with the last. Where the set is lost, a group ends when its own life does.
--   Four keys stand for a group: the base's stream, its sidecar, the hash, the holders. A whole generation is its group.
--   A generation is {name, sidecar, group, dictionary}: the key of its own sidecar, nil where it is whole, where its group's keys begin, and the
--   key of the dictionary that its chunks need, nil where they need none. Many generations may need one: its life is only lengthened.

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Gives a group its life, or ends it.
local function settle(at, now)
    redis.call('ZREMRANGEBYSCORE', KEYS[at + 3], '-inf', string.format('%.0f', now))
    local longest = redis.call('ZRANGE', KEYS[at + 3], '-1', '-1', 'WITHSCORES')
    for key = at, at + 3 do
        if longest[2] then
            redis.call('PEXPIREAT', KEYS[key], string.format('%.0f', tonumber(longest[2])))
        else
            redis.call('UNLINK', KEYS[key])
        end
    end
end

-- Whether a group has holders. A value that no release wrote in their place is as good as none, and in the way.
local function has_holders(at)
    local kind = redis.call('TYPE', KEYS[at + 3]).ok
    if kind ~= 'zset' and kind ~= 'none' then
        redis.call('UNLINK', KEYS[at + 3])
    end
    return kind == 'zset'
end

-- Lets a generation live until a time; where `longer`, its life is never shortened.
local function live_until(generation, ends, now, longer)
    local text = string.format('%.0f', ends)
    local function expire(key)
        if longer then
            redis.call('PEXPIREAT', key, text, 'GT')
        else
            redis.call('PEXPIREAT', key, text)
        end
    end
    if generation.dictionary then
        redis.call('PEXPIREAT', generation.dictionary, text, 'GT')
    end
    local held = has_holders(generation.group)
    if generation.sidecar then
        expire(generation.sidecar)
    elseif not held then
        expire(KEYS[generation.group])
        expire(KEYS[generation.group + 1])
        return
    end
    if longer then
        redis.call('ZADD', KEYS[generation.group + 3], 'GT', text, generation.name)
    else
        redis.call('ZADD', KEYS[generation.group + 3], text, generation.name)
    end
    settle(generation.group, now)
end

-- Ends a generation now; a group lives on for those that need it.
local function drop(generation, now)
    if generation.sidecar then
        redis.call('UNLINK', generation.sidecar)
    elseif not has_holders(generation.group) then
        redis.call('UNLINK', KEYS[generation.group])
        redis.call('UNLINK', KEYS[generation.group + 1])
        redis.call('UNLINK', KEYS[generation.group + 2])
        return
    end
    if has_holders(generation.group) then
        redis.call('ZREM', KEYS[generation.group + 3], generation.name)
        settle(generation.group, now)
    end
end

-- Until when a generation lives: ms from now; -1 where it has no end, -2 where it is gone.
local function left_of(generation, now)
    local left = redis.call('PTTL', generation.sidecar or KEYS[generation.group + 1])
    if left ~= -2 and not generation.sidecar and has_holders(generation.group) then
        -- Its group lives as long as any that needs it; what it is kept for itself stands among the holders, if it stands there yet.
        local ends = tonumber(redis.call('ZSCORE', KEYS[generation.group + 3], generation.name) or '')
        return ends and ends - now or left
    end
    return left
end

-- The generations that a call names: `count` of them, with four arguments each from `argument` on: the name, the number of its own
-- sidecar's key, '' where it is whole, the number of its group's first key, and that of its dictionary's, '' where it needs none.
local function generations(count, argument)
    local found = {}
    for number = 0, count - 1 do
        local at = argument + 4 * number
        found[number + 1] = {
            name = ARGV[at],
            sidecar = KEYS[tonumber(ARGV[at + 1])],
            group = tonumber(ARGV[at + 2]),
            dictionary = KEYS[tonumber(ARGV[at + 3])],
        }
    end
    return found
end

-- Whether all of a generation is there: so many entries in the stream of its group, and at least so many chunks in the hash.
local function is_whole(generation, entries, layered)
    local function size(command, key)
        local found = redis.pcall(command, key)
        if type(found) == 'table' then
            if not string.find(found.err, 'WRONGTYPE', 1, true) then
                error(found)
            end
            return -1
        end
        return found
    end
    return size('XLEN', KEYS[generation.group]) == tonumber(entries)
        and redis.call('EXISTS', generation.sidecar or KEYS[generation.group + 1]) == 1
        and (not generation.dictionary or redis.call('EXISTS', generation.dictionary) == 1)
        and size('HLEN', KEYS[generation.group + 2]) >= tonumber(layered)
end

