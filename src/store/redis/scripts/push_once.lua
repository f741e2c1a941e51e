-- Puts each job on its queue unless its marker says that this was done before.
--
-- KEYS     four per queue: list, :delayed, :reserved, :notify; then one marker per job
-- ARGV[1]  seconds for which a marker is kept
-- ARGV[2]  how many queues
-- ARGV     then three per job: the queue's index from 0, seconds until it is available (empty: at once), text
-- Returns  one character per job, in order: 1 pushed now, 0 pushed before
--
-- A marker is written last: an error before it leaves no marker without a job.

local ttl, queues = ARGV[1], tonumber(ARGV[2])
for k = 1, 4 * queues, 4 do
  redis.call('LLEN', KEYS[k])
  redis.call('ZCARD', KEYS[k + 1])
  redis.call('ZCARD', KEYS[k + 2])
  redis.call('LLEN', KEYS[k + 3])
end

-- A set holds a text only once: the twin of a delayed job waits among the reserved ones and lapses when it is
-- due, and a third one does not wait.
local function waits(k, at, text)
  return redis.call('ZADD', KEYS[k + 1], 'NX', at, text) == 1 or redis.call('ZADD', KEYS[k + 2], 'NX', at, text) == 1
end

local now = tonumber(redis.call('TIME')[1])
local pushed = {}
for n = 1, #KEYS - 4 * queues do
  local k, delay, text = 4 * ARGV[3 * n] + 1, ARGV[3 * n + 1], ARGV[3 * n + 2]
  local marker = KEYS[4 * queues + n]
  if redis.call('EXISTS', marker) == 1 then
    pushed[n] = '0'
  else
    if delay == '' or not waits(k, now + delay, text) then
      redis.call('RPUSH', KEYS[k], text)
      redis.call('RPUSH', KEYS[k + 3], '1')
    end
    redis.call('SET', marker, '1', 'EX', ttl)
    pushed[n] = '1'
  end
end
return table.concat(pushed)
