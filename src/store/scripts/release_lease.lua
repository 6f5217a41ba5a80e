-- Gives a lease back, if it is still the caller's: nobody ends another's.
--   KEYS[1] lease
--   ARGV[1] the lease's value, owner and generation
-- Returns 1, or 0 where the lease has lapsed or is another's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('DEL', KEYS[1])
end
return 0
