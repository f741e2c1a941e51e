-- Puts each job on its queue unless its marker says that this was done before.
--
-- KEYS     three per queue: list, :delayed, :notify; then one marker per job
-- ARGV[1]  seconds for which a marker is kept
-- ARGV[2]  how many queues
-- ARGV     then three per job: the queue's index from 0, seconds until it is available (empty: at once), text
-- Returns  one character per job, in order: 1 pushed now, 0 pushed before
--
-- A marker is written last: an error before it leaves no marker without a job.

local ttl, queues = ARGV[1], tonumber(ARGV[2])
for k = 1, 3 * queues, 3 do
  redis.call('LLEN', KEYS[k])
  redis.call('ZCARD', KEYS[k + 1])
  redis.call('LLEN', KEYS[k + 2])
end

local now = tonumber(redis.call('TIME')[1])
local pushed = {}
for n = 1, #KEYS - 3 * queues do
  local k, delay, text = 3 * ARGV[3 * n] + 1, ARGV[3 * n + 1], ARGV[3 * n + 2]
  local marker = KEYS[3 * queues + n]
  if redis.call('EXISTS', marker) == 1 then
    pushed[n] = '0'
  else
    if delay == '' then
      redis.call('RPUSH', KEYS[k], text)
      redis.call('RPUSH', KEYS[k + 2], '1')
    elseif redis.call('ZADD', KEYS[k + 1], 'NX', now + delay, text) == 0 then
      -- A set holds a text only once: the twin of a delayed job is available at once.
      redis.call('RPUSH', KEYS[k], text)
      redis.call('RPUSH', KEYS[k + 2], '1')
    end
    redis.call('SET', marker, '1', 'EX', ttl)
    pushed[n] = '1'
  end
end
return table.concat(pushed)
