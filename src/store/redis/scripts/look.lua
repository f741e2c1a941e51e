-- Says which queues have a job to give, without changing anything.
--
-- KEYS     three per queue: list, :delayed, :reserved
-- ARGV[1]  how far to look ahead, in milliseconds
-- Returns  per queue: 0 a job is available, n > 0 one comes due in n ms, -1 none within that time

local ahead = tonumber(ARGV[1])
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local now_text = string.format('%.17g', now)
local soon_text = string.format('%.17g', now + ahead / 1000)

local function due_in(set)
  if redis.call('ZCOUNT', set, '-inf', now_text) > 0 then return 0 end
  if redis.call('ZCOUNT', set, '-inf', soon_text) == 0 then return -1 end
  local score = redis.call('ZRANGE', set, 0, 0, 'WITHSCORES')[2]
  return math.max(1, math.ceil((score - now) * 1000))
end

local reply = {}
for k = 1, #KEYS, 3 do
  local wait = -1
  if redis.call('LLEN', KEYS[k]) > 0 then
    wait = 0
  else
    for set = k + 1, k + 2 do
      local ms = due_in(KEYS[set])
      if ms >= 0 and (wait < 0 or ms < wait) then wait = ms end
    end
  end
  reply[#reply + 1] = wait
end
return reply
