-- Puts jobs on queues, all of them or, when a key holds something else, none.
--
-- KEYS     three per queue: list, :delayed, :notify
-- ARGV     three per job: the queue's index from 0, seconds until it is available (empty: at once), text
-- Returns  nothing

for k = 1, #KEYS, 3 do
  redis.call('LLEN', KEYS[k])
  redis.call('ZCARD', KEYS[k + 1])
  redis.call('LLEN', KEYS[k + 2])
end

local now = tonumber(redis.call('TIME')[1])
local texts, ones = {}, {}

local function flush(k)
  if not texts[k] then return end
  redis.call('RPUSH', KEYS[k], unpack(texts[k]))
  redis.call('RPUSH', KEYS[k + 2], unpack(ones[k]))
  texts[k], ones[k] = nil, nil
end

for i = 1, #ARGV, 3 do
  local k, delay, text = 3 * ARGV[i] + 1, ARGV[i + 1], ARGV[i + 2]
  if delay == '' then
    texts[k] = texts[k] or {}
    ones[k] = ones[k] or {}
    table.insert(texts[k], text)
    table.insert(ones[k], '1')
    if #texts[k] == 1000 then flush(k) end
  else
    redis.call('ZADD', KEYS[k + 1], now + delay, text)
  end
end
for k = 1, #KEYS, 3 do flush(k) end
