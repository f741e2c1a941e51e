-- Extends leases that are still held.
--
-- KEYS     three per queue: :meta, :workers, :worker:leases
-- ARGV[1]  lease, in seconds, may have decimals
-- ARGV     then four per receipt: index of the queue from 0, worker, id, attempts
-- Returns  one character per receipt: 1 still held and extended, 0 lost

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local expiry = now + tonumber(ARGV[1])
local flags = {}

for at = 2, #ARGV, 4 do
  local key = tonumber(ARGV[at]) * 3
  local worker, id, attempts = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local meta = KEYS[key + 1] .. ':' .. id
  local inflight = string.gsub(KEYS[key + 1], ':meta$', ':inflight')
  local member = worker .. '|' .. id
  local score = redis.call('ZSCORE', KEYS[key + 3], member)
  local held = score and redis.call('SISMEMBER', inflight .. ':' .. worker, id) == 1
    and redis.call('HGET', meta, 'attempts') == attempts
  if held then
    redis.call('ZADD', KEYS[key + 3], string.format('%.6f', math.max(expiry, tonumber(score))), member)
    redis.call('ZADD', KEYS[key + 2], time[1], worker)
    redis.call('HSET', meta, 'locked_at', time[1])
  end
  flags[#flags + 1] = held and '1' or '0'
end

return table.concat(flags)
