-- Sets waiting jobs aside: they stand in :delayed until their hold is over, so that nobody takes them, and come
-- back from there by themselves.
--
-- KEYS     list, :delayed, :reserved, :notify, what is set aside
-- ARGV[1]  which: left (set aside before and never finished), ready, delayed
-- ARGV[2]  jobs at most
-- ARGV[3]  hold, in whole seconds
-- ARGV[4]  a name for these jobs that no other call has
-- ARGV[5]  bytes of payload after which nothing more is taken
-- ARGV[6]  seconds for which it is remembered what is set aside
-- Returns  three per job: its text, its name, whole seconds until it is due (-1: it is available)
--
-- What is set aside is a hash: text -> name, score in :delayed, score before (- in the list). A name is given
-- once to each entry and kept however often it is set aside. Scores have fractions in the order of the jobs, so
-- that those which come back by themselves come in that order. A job due after the hold keeps its score.
--
-- What adds comes before what removes, so an error half-way can double an entry and never lose one.

local list, delayed, reserved, notify, aside = unpack(KEYS)
local which, most, name, limit = ARGV[1], tonumber(ARGV[2]), ARGV[4], tonumber(ARGV[5])
local time = redis.call('TIME')
local now = tonumber(time[1])
-- One more, since the present second has begun already.
local over = now + ARGV[3] + 1

-- Removes nothing. It is here because a server out of memory refuses the first write of a script when that
-- adds, and one may want to move jobs away from it.
redis.call('ZREMRANGEBYSCORE', delayed, 1, 0)

local reply, count, bytes = {}, 0, 0

local function full()
  return count >= most or bytes >= limit
end

-- The score at which the next job comes back by itself.
local function next_score()
  return string.format('%.17g', over + (count + 1) / 1048576)
end

local function record_of(text)
  local record = redis.call('HGET', aside, text)
  if record then return string.match(record, '^(%S+) (%S+) (%S+)$') end
end

-- Remembers a job under the name it has, or a new one, and tells of it.
local function tell(text, known, score, due)
  count, bytes = count + 1, bytes + #text
  local own = known or (name .. '-' .. count)
  redis.call('HSET', aside, text, own .. ' ' .. score .. ' ' .. (due or '-'))
  local left = due and math.ceil(due - now) or 0
  local at = 3 * count
  reply[at - 2], reply[at - 1], reply[at] = text, own, left > 0 and left or -1
end

-- A record whose entry is in the set with another score is of an entry that someone wrote over. One whose entry
-- is not in the set stays: the entry may be in the list again.
local function take_left()
  local all, left = redis.call('HGETALL', aside), {}
  for i = 1, #all, 2 do
    local text = all[i]
    local own, score, due = string.match(all[i + 1], '^(%S+) (%S+) (%S+)$')
    local stands = redis.call('ZSCORE', delayed, text)
    if stands and tonumber(stands) == tonumber(score) then
      left[#left + 1] = {text = text, own = own, score = score, due = due ~= '-' and due or nil}
    elseif stands then
      redis.call('HDEL', aside, text)
    end
  end
  table.sort(left, function(a, b)
    if not a.due ~= not b.due then return not a.due end
    local x, y = tonumber(a.due or a.score), tonumber(b.due or b.score)
    if x == y then return a.text < b.text end
    return x < y
  end)
  for _, job in ipairs(left) do
    local score = job.score
    if not job.due or tonumber(job.due) <= over then
      score = next_score()
      redis.call('ZADD', delayed, 'XX', score, job.text)
    end
    tell(job.text, job.own, score, job.due)
  end
end

-- Reservations that have lapsed are available: they go to the end of the list, as when a worker asks.
local function promote_lapsed()
  local now_text = string.format('%.17g', now + time[2] / 1000000)
  local due = redis.call('ZRANGEBYSCORE', reserved, '-inf', now_text, 'LIMIT', 0, 100)
  if #due == 0 then return end
  redis.call('RPUSH', list, unpack(due))
  redis.call('ZREMRANGEBYRANK', reserved, 0, #due - 1)
  for _ = 1, #due do redis.pcall('RPUSH', notify, '1') end
end

-- A text that is in the set already (a set holds it only once) stays in the list for a later call, and others
-- behind it are taken instead, within reason.
local function take_ready()
  promote_lapsed()
  local twins, seen, more = {}, 0, true
  while more and not full() and #twins < 1000 do
    local ask = math.min(most - count, 50)
    local texts = redis.call('LRANGE', list, seen, seen + ask - 1)
    more = #texts == ask
    for _, text in ipairs(texts) do
      if full() then break end
      local score = next_score()
      seen = seen + 1
      if redis.call('ZADD', delayed, 'NX', score, text) == 1 then
        tell(text, record_of(text), score, nil)
      else
        twins[#twins + 1] = text
      end
    end
  end
  if count == 0 then return end
  redis.call('LTRIM', list, seen, -1)
  for i = #twins, 1, -1 do redis.call('LPUSH', list, twins[i]) end
  local bells = redis.pcall('LLEN', notify)
  if type(bells) ~= 'number' or bells == 0 then return end
  local excess = bells - redis.call('LLEN', list)
  if excess > 0 then redis.call('LTRIM', notify, excess, -1) end
end

local function take_delayed()
  local rank = 0
  while not full() do
    local page = redis.call('ZRANGE', delayed, rank, rank + 49, 'WITHSCORES')
    if #page == 0 then return end
    for i = 1, #page, 2 do
      local text, due = page[i], page[i + 1]
      local known, score = record_of(text)
      if known and tonumber(score) == tonumber(due) then
        -- Set aside already.
        rank = rank + 1
      elseif full() then
        return
      elseif tonumber(due) <= over then
        -- It leaves its place, so those behind it move up.
        score = next_score()
        redis.call('ZADD', delayed, 'XX', score, text)
        tell(text, nil, score, due)
      else
        rank = rank + 1
        tell(text, nil, due, due)
      end
    end
  end
end

local take = {left = take_left, ready = take_ready, delayed = take_delayed}
take[which]()
if count > 0 then redis.call('EXPIRE', aside, ARGV[6]) end
return reply
