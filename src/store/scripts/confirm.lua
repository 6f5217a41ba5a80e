-- The origin still has what a listing's generation holds: its age begins anew, and its lives.
--   KEYS[1] head  KEYS[2] due  KEYS[3] last failure  KEYS[4] lease  KEYS[5…] the keys of the generation
--   ARGV[1] id and ARGV[2] nonce of the generation  ARGV[3] entries that the stream of its group must have  ARGV[4] as_of, ms
--   ARGV[5] version of the origin's data, '' where unknown  ARGV[6] the lease's value
--   ARGV[7] life of the head, ms  ARGV[8] life of the generation, ms  ARGV[9] family  ARGV[10] ms until it is due, '' for no change
--   ARGV[11] check sum of the head with that as_of  ARGV[12] '1': the items were read, '0': the origin has said so
--   ARGV[13] chunks that its layers hold  ARGV[14…] four for the generation, see `generations`
-- Returns 'confirmed'; 'fenced' (the lease is not the caller's); 'gone' (the head names another generation, or it is not whole).
if redis.call('GET', KEYS[4]) ~= ARGV[6] then
    return 'fenced'
end
local head = redis.pcall('HMGET', KEYS[1], 'id', 'nonce', 'deleted', 'as_of')
if head.err or head[1] ~= ARGV[1] or head[2] ~= ARGV[2] or head[3] then
    return 'gone'
end
local generation = generations(1, 14)[1]
if not is_whole(generation, ARGV[3], ARGV[13]) then
    return 'gone'
end
local now = now_ms()
-- A lease is drawn before the origin is asked, so a later one's as_of is greater; a failover may have undone that. One that lies
-- far ahead is of before the clock was set back.
local kept_as_of, as_of = tonumber(head[4] or '') or 0, tonumber(ARGV[4])
if kept_as_of <= as_of or kept_as_of > as_of + 5000 then
    redis.call('HSET', KEYS[1], 'as_of', ARGV[4], 'version', ARGV[5], 'sum', ARGV[11])
    if ARGV[12] == '1' then
        redis.call('HSET', KEYS[1], 'read_at', ARGV[4])
    end
end
-- GT: a life is never shortened here.
redis.call('PEXPIRE', KEYS[1], ARGV[7], 'GT')
live_until(generation, now + tonumber(ARGV[8]), now, true)
redis.call('UNLINK', KEYS[3])
if ARGV[10] ~= '' then
    redis.call('ZADD', KEYS[2], string.format('%.0f', now + tonumber(ARGV[10])), ARGV[9])
end
return 'confirmed'
