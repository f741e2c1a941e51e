-- Counts the tasks of queues, without changing anything.
--
-- KEYS     four per queue: :active, :scheduled, :workers, :meta
-- Returns  per queue: {available, not due, held, the id at the head or nothing}; then the time in seconds

local now = redis.call('TIME')[1]
local reply = {}

for key = 0, #KEYS - 1, 4 do
  local inflight = string.gsub(KEYS[key + 4], ':meta$', ':inflight')
  local held = 0
  for _, worker in ipairs(redis.call('ZRANGE', KEYS[key + 3], 0, -1)) do
    held = held + redis.call('SCARD', inflight .. ':' .. worker)
  end
  local due = redis.call('ZCOUNT', KEYS[key + 2], '-inf', now)
  local head = redis.call('LINDEX', KEYS[key + 1], 0)
  if not head and due > 0 then head = redis.call('ZRANGE', KEYS[key + 2], 0, 0)[1] end
  reply[#reply + 1] = {
    redis.call('LLEN', KEYS[key + 1]) + due,
    redis.call('ZCARD', KEYS[key + 2]) - due,
    held,
    head,
  }
end

reply[#reply + 1] = tonumber(now)
return reply
