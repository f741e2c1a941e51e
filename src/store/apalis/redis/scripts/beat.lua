-- Says that a worker lives, as stock workers do, and gives back what dead ones held.
--
-- KEYS     five per queue: :workers, :workers:metadata:NAME, :active, :signal, :meta
-- ARGV[1]  the worker's name
-- ARGV[2]  seconds of silence after which a worker is dead
-- ARGV[3]  tasks to give back at most, per queue
-- Returns  how many tasks were given back

local worker = ARGV[1]
local most = tonumber(ARGV[3])
local now = tonumber(redis.call('TIME')[1])
local count = 0

for key = 0, #KEYS - 1, 5 do
  local workers, active, meta = KEYS[key + 1], KEYS[key + 3], KEYS[key + 5]
  local inflight = string.gsub(meta, ':meta$', ':inflight')
  redis.call('ZADD', workers, now, worker)
  redis.call('ZADD', 'core:apalis:queues:list', 'GT', now, workers)
  redis.call('HSET', KEYS[key + 2], 'backend_name', 'RedisStorage', 'service', 'worker')
  local left, before = most, count
  for _, dead in ipairs(redis.call('ZRANGEBYSCORE', workers, '-inf', now - tonumber(ARGV[2]), 'LIMIT', 0, 20)) do
    local held = inflight .. ':' .. dead
    local ids = left > 0 and redis.call('SRANDMEMBER', held, left) or {}
    for _, id in ipairs(ids) do
      redis.call('RPUSH', active, id)
      redis.call('SREM', held, id)
      redis.call('HSET', meta .. ':' .. id, 'status', 'Pending')
      redis.call('HDEL', meta .. ':' .. id, 'locked_at', 'locked_by')
    end
    count, left = count + #ids, left - #ids
    if redis.call('EXISTS', held) == 0 then
      redis.call('ZREM', workers, dead)
      redis.call('DEL', workers .. ':metadata:' .. dead)
    end
  end
  if count > before then
    redis.call('DEL', KEYS[key + 4])
    redis.call('LPUSH', KEYS[key + 4], 1)
  end
end

return count
