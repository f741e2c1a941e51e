-- Sets waiting tasks aside: they stand in :scheduled until their hold is over, so that nobody takes them, and come
-- back from there by themselves, on any worker.
--
-- KEYS     :active, :scheduled, :signal, :data, :meta, :worker:leases, :worker:aside
-- ARGV[1]  which: left (set aside before and never finished), ready, delayed
-- ARGV[2]  tasks at most
-- ARGV[3]  hold, in seconds
-- ARGV[4]  bytes of data after which nothing more is taken
-- ARGV[5]  seconds for which it is remembered what is set aside
-- Returns  five per task: id, data, fields, whole seconds until it is due (-1: it is available), its score in
--          :scheduled
--
-- What is set aside is a hash: id -> score in :scheduled, place, score before (- in the list). An entry whose
-- score is another one now is void. A task due after the hold keeps its score.

local active, scheduled, signal, data, meta, leases, aside = unpack(KEYS)
local which, most, limit = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = tonumber(time[1])
-- One more, since the present second has begun already.
local over = now + math.ceil(tonumber(ARGV[3])) + 1
local reply, count, bytes = {}, 0, 0

local function record_of(id)
  local record = redis.call('HGET', aside, id)
  if not record then return end
  local score, place, due = string.match(record, '^(%S+) (%S+) (%S+)$')
  local stands = redis.call('ZSCORE', scheduled, id)
  if stands and tonumber(stands) == tonumber(score) then
    return { id = id, score = score, place = tonumber(place), due = due ~= '-' and due or nil }
  end
  redis.call('HDEL', aside, id)
end

-- Remembers a task that stands in the set with this score, and tells of it; false when the batch is full.
local function tell(id, score, due)
  local text = redis.call('HGET', data, id)
  if not text then return true end
  if count > 0 and (count >= most or bytes + #text > limit) and which ~= 'left' then return false end
  count, bytes = count + 1, bytes + #text
  redis.call('ZADD', scheduled, score, id)
  redis.call('HSET', aside, id, string.format('%s %d %s', score, count, due or '-'))
  local left = due and tonumber(due) - now or 0
  for _, value in ipairs({ id, text, redis.call('HGETALL', meta .. ':' .. id), left > 0 and left or -1, score }) do
    reply[#reply + 1] = value
  end
  return true
end

local function held_score(due)
  if due and tonumber(due) > over then return due end
  return string.format('%.0f', over)
end

local function promote()
  local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', now, 'LIMIT', 0, 500)
  if #due > 0 then
    redis.call('RPUSH', active, unpack(due))
    redis.call('ZREMRANGEBYRANK', scheduled, 0, #due - 1)
  end
  local inflight = string.gsub(meta, ':meta$', ':inflight')
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', leases, '-inf', now, 'LIMIT', 0, 500)) do
    local cut = string.find(member, '|', 1, true)
    local holder, id = string.sub(member, 1, cut - 1), string.sub(member, cut + 1)
    if redis.call('SISMEMBER', inflight .. ':' .. holder, id) == 1 then
      redis.call('RPUSH', active, id)
      redis.call('SREM', inflight .. ':' .. holder, id)
      redis.call('HSET', meta .. ':' .. id, 'status', 'Pending')
      redis.call('HDEL', meta .. ':' .. id, 'locked_at', 'locked_by')
    end
    redis.call('ZREM', leases, member)
  end
end

local function take_left()
  local left = {}
  for _, id in ipairs(redis.call('HKEYS', aside)) do
    left[#left + 1] = record_of(id)
  end
  table.sort(left, function(a, b)
    if not a.due ~= not b.due then return not a.due end
    local x, y = tonumber(a.due or a.place), tonumber(b.due or b.place)
    if x == y then return a.id < b.id end
    return x < y
  end)
  for _, task in ipairs(left) do tell(task.id, held_score(task.due), task.due) end
end

local function take_ready()
  local seen = 0
  for _, id in ipairs(redis.call('LRANGE', active, 0, most - 1)) do
    if not tell(id, held_score(nil), nil) then break end
    seen = seen + 1
  end
  redis.call('LTRIM', active, seen, -1)
  if redis.call('LLEN', active) == 0 then redis.call('DEL', signal) end
end

local function take_delayed()
  local page = redis.call('ZRANGE', scheduled, 0, most + redis.call('HLEN', aside) - 1, 'WITHSCORES')
  for i = 1, #page, 2 do
    if not record_of(page[i]) and not tell(page[i], held_score(page[i + 1]), page[i + 1]) then return end
  end
end

if which == 'left' then
  take_left()
else
  promote()
  if which == 'ready' then take_ready() else take_delayed() end
end
if count > 0 then redis.call('EXPIRE', aside, ARGV[5]) end
return reply
