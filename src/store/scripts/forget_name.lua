-- Takes a listing out of the names, if its head is gone: looking and removing must be one step, for a publish may add it
-- again in between.
--   KEYS[1] names  KEYS[2] head
--   ARGV[1] listing
-- Returns 1 where it was removed.
if redis.call('EXISTS', KEYS[2]) == 0 then
    return redis.call('ZREM', KEYS[1], ARGV[1])
end
return 0
