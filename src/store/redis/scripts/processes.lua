-- Lists the processes that live.
--
-- KEYS     processes by the time they expire (sorted set), their descriptions (hash)
-- Returns  their descriptions, by id

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. string.format('%.17g', now), '+inf')
table.sort(ids)
local reply = {}
for _, id in ipairs(ids) do
  local text = redis.call('HGET', KEYS[2], id)
  if text then reply[#reply + 1] = text end
end
return reply
