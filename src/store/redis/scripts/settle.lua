-- Writes what becomes of reservations that are still ours.
--
-- KEYS  four per queue: list, :delayed, :reserved, :notify
-- ARGV  runs of settlements alike: a verb, the queue's index from 0, our fraction in 1/2^20, seconds, how
--       many follow, and for each the reserved copy, with `return` and `defer` also the original text
--       delete   it is done
--       release  the copy is available again after these seconds
--       return   the original goes back to the head of the list
--       defer    the original is available again after these seconds
-- Returns  one character per settlement, in order: 1 held and done, 0 lost and not touched
--
-- Seconds are whole. What adds comes before what removes, so an error half-way loses nothing.

local now = tonumber(redis.call('TIME')[1])
local width = {delete = 1, release = 1, ['return'] = 2, defer = 2}

-- The scores of a run's copies; servers before 6.2 are asked one by one.
local function scores_of(run)
  local scores = redis.pcall('ZMSCORE', run.reserved, unpack(ARGV, run.from, run.to))
  if not scores.err then return scores end
  for i = run.from, run.to do scores[i - run.from + 1] = redis.call('ZSCORE', run.reserved, ARGV[i]) end
  return scores
end

-- Deletes are many, so a run of them is looked up and removed whole.
local function delete(run)
  local scores, ours, lost = scores_of(run), nil, false
  for n = 1, run.count do
    local score = scores[n]
    -- Those reserved together have the same score.
    if score and score ~= ours and tonumber(score) % 1 == run.fraction then ours = score end
    run.held[n] = (score and score == ours) and '1' or '0'
    lost = lost or run.held[n] == '0'
  end
  if not lost then
    redis.call('ZREM', run.reserved, unpack(ARGV, run.from, run.to))
    return
  end
  for n = 1, run.count do
    if run.held[n] == '1' then redis.call('ZREM', run.reserved, ARGV[run.from + n - 1]) end
  end
end

-- A set holds a text only once: the twin of a delayed job stays reserved without our fraction, and lapses
-- when it is due.
local function release(run, copy)
  if redis.call('ZADD', run.delayed, 'NX', run.at, copy) == 1 then
    redis.call('ZREM', run.reserved, copy)
  else
    redis.call('ZADD', run.reserved, run.at, copy)
  end
end

local function put_back(run, copy, original)
  redis.call('LPUSH', run.list, original)
  redis.call('ZREM', run.reserved, copy)
  redis.pcall('RPUSH', run.notify, '1')
end

-- A twin waits among the reserved ones as above, and a third one does not wait.
local function defer(run, copy, original)
  if redis.call('ZADD', run.delayed, 'NX', run.at, original) == 0
    and redis.call('ZADD', run.reserved, 'NX', run.at, original) == 0 then
    redis.call('RPUSH', run.list, original)
    redis.pcall('RPUSH', run.notify, '1')
  end
  redis.call('ZREM', run.reserved, copy)
end

local runs = {}
local i = 1
while i <= #ARGV do
  local verb, q, count = ARGV[i], 4 * ARGV[i + 1], tonumber(ARGV[i + 4])
  runs[#runs + 1] = {
    held = {}, verb = verb, fraction = ARGV[i + 2] / 1048576, at = now + ARGV[i + 3], count = count,
    from = i + 5, to = i + 4 + count * width[verb],
    list = KEYS[q + 1], delayed = KEYS[q + 2], reserved = KEYS[q + 3], notify = KEYS[q + 4],
  }
  i = i + 5 + count * width[verb]
end

-- Removes nothing. It is here because a server out of memory refuses the first write of a script when
-- that adds, and giving a job back must work then too.
redis.call('ZREMRANGEBYSCORE', KEYS[3], 1, 0)

local verbs = {release = release, ['return'] = put_back, defer = defer}

-- From the last to the first, so that jobs put back at the head stand in their old order.
for r = #runs, 1, -1 do
  local run = runs[r]
  if run.verb == 'delete' then
    delete(run)
  else
    for n = run.count, 1, -1 do
      local i = run.from + (n - 1) * width[run.verb]
      local score = tonumber(redis.call('ZSCORE', run.reserved, ARGV[i]) or 0)
      local ours = score % 1 == run.fraction
      if ours then verbs[run.verb](run, ARGV[i], ARGV[i + 1]) end
      run.held[n] = ours and '1' or '0'
    end
  end
end

local held = {}
for r, run in ipairs(runs) do held[r] = table.concat(run.held, '', 1, run.count) end
return table.concat(held)
