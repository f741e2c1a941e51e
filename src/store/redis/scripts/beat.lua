-- Says that a process lives, and forgets those that have fallen silent.
--
-- KEYS     processes by the time they expire (sorted set), their descriptions (hash)
-- ARGV[1]  how long this one lives without another word, in milliseconds
-- ARGV[2]  its id
-- ARGV[3]  its description
-- Returns  nothing

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.17g', now), 'LIMIT', 0, 1000)
if #gone > 0 then
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('ZREM', KEYS[1], unpack(gone))
end
redis.call('ZADD', KEYS[1], string.format('%.17g', now + ARGV[1]), ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
-- When the last process is gone nobody is left to sweep.
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < tonumber(ARGV[1]) then redis.call('PEXPIRE', key, ARGV[1]) end
end
