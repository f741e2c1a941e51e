-- Removes tasks that are not ended: available ones, scheduled ones, held ones.
--
-- KEYS     eight: :active, :scheduled, :signal, :data, :meta, :workers, :worker:leases, :worker:aside
-- ARGV[1]  tasks to remove at most
-- Returns  how many were removed

local most = tonumber(ARGV[1])
local inflight = string.gsub(KEYS[5], ':meta$', ':inflight')
local count = 0

local function remove(ids)
  for _, id in ipairs(ids) do
    redis.call('HDEL', KEYS[4], id)
    redis.call('DEL', KEYS[5] .. ':' .. id)
  end
  count = count + #ids
end

local ids = redis.call('LRANGE', KEYS[1], 0, most - 1)
remove(ids)
redis.call('LTRIM', KEYS[1], #ids, -1)
if count < most then
  ids = redis.call('ZRANGE', KEYS[2], 0, most - count - 1)
  remove(ids)
  if #ids > 0 then redis.call('ZREMRANGEBYRANK', KEYS[2], 0, #ids - 1) end
end
for _, worker in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do
  if count < most then
    ids = redis.call('SRANDMEMBER', inflight .. ':' .. worker, most - count)
    remove(ids)
    for _, id in ipairs(ids) do
      redis.call('SREM', inflight .. ':' .. worker, id)
      redis.call('ZREM', KEYS[7], worker .. '|' .. id)
    end
  end
end
if redis.call('LLEN', KEYS[1]) == 0 then redis.call('DEL', KEYS[3]) end
if count == 0 then redis.call('DEL', KEYS[8]) end

return count
