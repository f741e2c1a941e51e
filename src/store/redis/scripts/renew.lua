-- Extends leases that are still ours.
--
-- KEYS     the :reserved set of each queue
-- ARGV[1]  lease from now, in seconds, may have decimals
-- ARGV     then three per receipt: the queue's index from 0, our fraction in 1/2^20, the reserved copy
-- Returns  one character per receipt, in order: 1 held and extended, 0 lost and not touched
--
-- The fraction of the score is ours alone and stays the same, so sending this twice does no harm.

local lease = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000

-- Removes nothing. It is here because a server out of memory refuses the first write of a script when that
-- is a ZADD, and a lease must not end for that.
redis.call('ZREMRANGEBYSCORE', KEYS[1], 1, 0)

local held = {}
for i = 2, #ARGV, 3 do
  local reserved, copy = KEYS[ARGV[i] + 1], ARGV[i + 2]
  local fraction = ARGV[i + 1] / 1048576
  local score = tonumber(redis.call('ZSCORE', reserved, copy) or 0)
  if score % 1 == fraction then
    redis.call('ZADD', reserved, 'XX', string.format('%.17g', math.ceil(now + lease - fraction) + fraction), copy)
    held[#held + 1] = '1'
  else
    held[#held + 1] = '0'
  end
end
return table.concat(held)
