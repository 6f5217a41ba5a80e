-- Lengthens a lease, if it is still the caller's.
--   KEYS[1] lease
--   ARGV[1] the lease's value, owner and generation  ARGV[2] its life from now, ms
-- Returns 1, or 0 where the lease has lapsed or is another's.
if redis.call('GET', KEYS[1]) == ARGV[1] then
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
end
return 0
