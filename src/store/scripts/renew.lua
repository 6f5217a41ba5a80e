-- Renews the life of a listing that is read: for pushed listings, whose only copy this is.
--   KEYS[1] head  KEYS[2] its stream
--   ARGV[1] id and ARGV[2] nonce of the generation that was read  ARGV[3] life of the head, ms  ARGV[4] life of the stream, ms
-- Returns 1; 0 where the head names another generation by now (which has lives of its own).
local id, nonce, deleted = unpack(redis.call('HMGET', KEYS[1], 'id', 'nonce', 'deleted'))
if id ~= ARGV[1] or nonce ~= ARGV[2] or deleted then
    return 0
end
-- GT: a life is never shortened here.
redis.call('PEXPIRE', KEYS[1], ARGV[3], 'GT')
redis.call('PEXPIRE', KEYS[2], ARGV[4], 'GT')
return 1
