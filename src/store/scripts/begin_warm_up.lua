-- Begins a warm-up job, or joins the one that is under way or was broken off.
--   KEYS[1] the job's record
--   ARGV[1] its life from now, ms  ARGV[2] '1' to begin anew whatever is there
-- Returns {when it began, ms; ms since the record was last renewed, -1 where it is new}.
local life = tonumber(ARGV[1])
if ARGV[2] ~= '1' then
    local began = redis.pcall('GET', KEYS[1])
    -- What is no time no release wrote.
    if type(began) == 'string' and tonumber(began) then
        local left = redis.call('PTTL', KEYS[1])
        redis.call('PEXPIRE', KEYS[1], ARGV[1])
        return { began, math.max(life - math.max(left, 0), 0) }
    end
end
local time = redis.call('TIME')
local now = string.format('%.0f', tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000))
redis.call('SET', KEYS[1], now, 'PX', ARGV[1])
return { now, -1 }
