-- Claims the prefix for a layout, unless it is claimed: says whose it is. Writes nothing where nothing is missing, so
-- that a full server still lets a node of the same layout start.
--   KEYS[1] meta
--   ARGV[1] layout  ARGV[2] partitions
-- Returns {layout, partitions} as they stand now.
local layout, partitions = unpack(redis.call('HMGET', KEYS[1], 'layout', 'partitions'))
if not layout and not partitions then
    layout, partitions = ARGV[1], ARGV[2]
    redis.call('HSET', KEYS[1], 'layout', layout, 'partitions', partitions)
end
return { layout or '?', partitions or '?' }
