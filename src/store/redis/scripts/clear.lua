-- Removes every job of a queue, as queue:clear does; large keys are freed in the background.
--
-- KEYS     list, :delayed, :reserved, :notify, what is set aside
-- Returns  how many jobs there were

local jobs = redis.call('LLEN', KEYS[1]) + redis.call('ZCARD', KEYS[2]) + redis.call('ZCARD', KEYS[3])
redis.call('UNLINK', unpack(KEYS))
return jobs
