-- Renews the life of a listing that is read: for pushed listings, whose only copy this is.
--   KEYS[1] head  KEYS[2…] the keys of the generation
--   ARGV[1] id and ARGV[2] nonce of the generation that was read  ARGV[3] life of the head, ms  ARGV[4] life of the generation, ms
--   ARGV[5…] four for the generation, see `generations`
-- Returns 1; 0 where the head names another generation by now (which has lives of its own).
local id, nonce, deleted = unpack(redis.call('HMGET', KEYS[1], 'id', 'nonce', 'deleted'))
if id ~= ARGV[1] or nonce ~= ARGV[2] or deleted then
    return 0
end
local now = now_ms()
-- GT: a life is never shortened here.
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
live_until(generations(1, 5)[1], now + tonumber(ARGV[4]), now, true)
return 1
