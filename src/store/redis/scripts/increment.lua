-- Adds one to a counter that is kept under two names.
--
-- KEYS     the counter's names
-- ARGV[1]  how long a new counter lives, in milliseconds
-- Returns  the new value: one more than the higher of both
--
-- A name that exists keeps its time to live.

local value = 0
local found = {}
for k, key in ipairs(KEYS) do
  found[k] = redis.call('GET', key)
  if found[k] then value = math.max(value, tonumber(found[k]) or error('the counter is not a number')) end
end
value = value + 1
for k, key in ipairs(KEYS) do
  if found[k] then
    redis.call('INCRBY', key, value - found[k])
  else
    redis.call('SET', key, value, 'PX', ARGV[1])
  end
end
return value
