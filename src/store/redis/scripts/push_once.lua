-- Puts a job on its queue unless its marker says that this was done before.
--
-- KEYS     list, :delayed, :notify, marker
-- ARGV[1]  seconds until it is available (empty: at once)
-- ARGV[2]  text
-- ARGV[3]  seconds for which the marker is kept
-- Returns  1 pushed now, 0 pushed before
--
-- The marker is written last: an error before it leaves no marker without a job.

if redis.call('EXISTS', KEYS[4]) == 1 then return 0 end
if ARGV[1] == '' then
  redis.call('LLEN', KEYS[3])
  redis.call('RPUSH', KEYS[1], ARGV[2])
  redis.call('RPUSH', KEYS[3], '1')
else
  redis.call('ZADD', KEYS[2], redis.call('TIME')[1] + ARGV[1], ARGV[2])
end
redis.call('SET', KEYS[4], '1', 'EX', ARGV[3])
return 1
