-- Takes families that are due. A claim only moves the due time: a node that is killed after it loses nothing.
--   KEYS[1] due set of a partition
--   ARGV[1] how many at most  ARGV[2] ms until a claimed family is due again unless publish or failure says otherwise
-- Returns when a claimed family is due again, and the families, the longest due first.
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local families = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, ARGV[1])
local next_due = string.format('%.0f', now + tonumber(ARGV[2]))
for _, family in ipairs(families) do
    redis.call('ZADD', KEYS[1], 'XX', next_due, family)
end
return { next_due, families }
