-- Adds tasks, in order.
--
-- KEYS     five per queue: :active, :scheduled, :signal, :data, :meta
-- ARGV     six per task: index of the queue from 0, marker, id, data, seconds until it is available (empty: at
--          once), and a count; then so many fields and values. A task with a marker that is set is not added;
--          else the marker is set for ARGV[1] seconds, which stands before all tasks
-- Returns  one character per task: 1 added, 0 not

-- The second that has begun: delays count from it, as a stock producer's and Laravel's do.
local now = tonumber(redis.call('TIME')[1])
local flags = {}

local at = 2
while at <= #ARGV do
  local key, marker, id, data, seconds = tonumber(ARGV[at]) * 5, ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local count = tonumber(ARGV[at + 5])
  local fields = {}
  for n = 1, count * 2 do fields[n] = ARGV[at + 5 + n] end
  local fresh = marker == '' or redis.call('EXISTS', marker) == 0
  if fresh then
    redis.call('HSET', KEYS[key + 4], id, data)
    redis.call('HSET', KEYS[key + 5] .. ':' .. id, unpack(fields))
    if seconds == '' then
      redis.call('RPUSH', KEYS[key + 1], id)
      redis.call('DEL', KEYS[key + 3])
      redis.call('LPUSH', KEYS[key + 3], 1)
      redis.call('PUBLISH', 'tasks:' .. KEYS[key + 1] .. ':available', id)
    else
      redis.call('ZADD', KEYS[key + 2], string.format('%.0f', now + math.ceil(seconds)), id)
    end
    if marker ~= '' then redis.call('SET', marker, '1', 'EX', ARGV[1]) end
  end
  flags[#flags + 1] = fresh and '1' or '0'
  at = at + 6 + count * 2
end

return table.concat(flags)
