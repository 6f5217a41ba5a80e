-- Stands before `publish` and `delete`, which announce a head that moved. It is no script by itself.
--
-- A script that fails half-way keeps what it has done: a head would have moved, and no node would hear of it. So both
-- scripts ask first for all that may be refused: the rights of the user (by now they may be fewer than at the start), and
-- keys that hold a value of another type. A full server, a full disk or a replica refuses the first write, with nothing done.

-- Finds what would refuse these commands, before anything is done.
--   commands: each with its arguments, as they could be called  kinds: the types that keys must have
-- Returns an error reply; nothing where all can be done.
local function refusal(commands, kinds)
    for _, command in ipairs(commands) do
        if not redis.acl_check_cmd(unpack(command)) then
            return { err = 'NOPERM this user may not ' .. command[1] .. ' ' .. command[2] .. ': nothing was done' }
        end
    end
    for key, kind in pairs(kinds) do
        local found = redis.call('TYPE', key).ok
        if found ~= kind and found ~= 'none' then
            -- A value that no release wrote: as good as none, and in the way of one.
            redis.call('UNLINK', key)
        end
    end
end

-- Writes an announcement to the log. Returns its entry and the one before it.
local function log(key, length, version, body)
    local newest = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    local after = newest and newest[1] or '0-0'
    local entry = redis.call('XADD', key, 'MAXLEN', '=', length, '*', 'v', version, 'after', after, 'body', body)
    return entry, after
end

-- Sends an announcement that is in the log.
local function announce(channel, version, partition, entry, after, body)
    redis.call('PUBLISH', channel, '{"v":' .. version .. ',"partition":' .. partition .. ',"entry":"' .. entry
        .. '","after":"' .. after .. '","body":' .. body .. '}')
end

