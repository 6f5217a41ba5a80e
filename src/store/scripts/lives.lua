-- Stands before the scripts that lengthen or end the lives of generations. It is no script by itself.
--
-- A generation lies in a stream and a sidecar. A delta needs its base too, a whole generation that others name. Beside a base stands
-- a sorted set of its holders: the generations that need it, itself among them, by the ends of their lives in ms. A base has the
-- longest life among its holders, and ends with the last. Where the set is lost, a base ends when its own life does.
--   Three keys stand for a generation: its stream, its sidecar, its holders. A generation is {at, name, base}: where its keys begin,
--   its name, and where its base's keys begin, nil where it is whole.

local function now_ms()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Gives a base its life, or ends it.
local function settle(at, now)
    redis.call('ZREMRANGEBYSCORE', KEYS[at + 2], '-inf', string.format('%.0f', now))
    local longest = redis.call('ZRANGE', KEYS[at + 2], '-1', '-1', 'WITHSCORES')
    for key = at, at + 2 do
        if longest[2] then
            redis.call('PEXPIREAT', KEYS[key], string.format('%.0f', tonumber(longest[2])))
        else
            redis.call('UNLINK', KEYS[key])
        end
    end
end

-- Whether others name a generation. A value that no release wrote in the place of its holders is as good as none, and in the way.
local function is_base(at)
    local kind = redis.call('TYPE', KEYS[at + 2]).ok
    if kind ~= 'zset' and kind ~= 'none' then
        redis.call('UNLINK', KEYS[at + 2])
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
    local has_holders = is_base(generation.base or generation.at)
    local holds = generation.base or (has_holders and generation.at)
    if generation.base or not holds then
        expire(KEYS[generation.at])
        expire(KEYS[generation.at + 1])
    end
    if holds then
        if longer then
            redis.call('ZADD', KEYS[holds + 2], 'GT', text, generation.name)
        else
            redis.call('ZADD', KEYS[holds + 2], text, generation.name)
        end
        settle(holds, now)
    end
end

-- Ends a generation now; a base lives on for those that need it.
local function drop(generation, now)
    local holds = generation.base or generation.at
    if generation.base or not is_base(holds) then
        redis.call('UNLINK', KEYS[generation.at])
        redis.call('UNLINK', KEYS[generation.at + 1])
    end
    if is_base(holds) then
        redis.call('ZREM', KEYS[holds + 2], generation.name)
        settle(holds, now)
    end
end

-- The generations that a call names: `count` of them, their keys from `key` on, the bases among them or behind them; from `argument`
-- on two arguments each: the name, and where the base's keys begin, '' where it is whole.
local function generations(count, key, argument)
    local found = {}
    for number = 0, count - 1 do
        found[number + 1] = {
            at = key + 3 * number,
            name = ARGV[argument + 2 * number],
            base = tonumber(ARGV[argument + 2 * number + 1]),
        }
    end
    return found
end

-- Whether all of a generation is there, that has so many entries of its own, and whose base has so many.
local function is_whole(generation, entries, base_entries)
    local function has(at, wanted)
        local found = redis.pcall('XLEN', KEYS[at])
        if type(found) == 'table' and not string.find(found.err, 'WRONGTYPE', 1, true) then
            error(found)
        end
        return found == tonumber(wanted)
    end
    return has(generation.at, entries) and redis.call('EXISTS', KEYS[generation.at + 1]) == 1
        and (not generation.base or has(generation.base, base_entries))
end

