-- Writes what becomes of reservations that are still ours.
--
-- KEYS  four per queue: list, :delayed, :reserved, :notify
-- ARGV  per settlement: the queue's index from 0, our fraction in 1/2^20, the reserved copy, a verb, and
--       what the verb needs:
--       delete   nothing
--       release  seconds until the copy is available again, whole
--       return   the original text: it goes back to the head of the list
--       defer    the original text, and the seconds until it is available again, whole
-- Returns  one character per settlement, in order: 1 held and done, 0 lost and not touched
--
-- What adds comes before what removes, so an error half-way loses nothing.

local now = tonumber(redis.call('TIME')[1])
local size = {delete = 4, release = 5, ['return'] = 5, defer = 6}

-- Makes a text available at a time. A set holds a text only once, so a twin of one that is delayed waits
-- among the reserved ones, where it lapses at its time, and a third one does not wait.
local function park(list, delayed, reserved, notify, text, at)
  if redis.call('ZADD', delayed, 'NX', at, text) == 1 then return end
  local score = redis.call('ZSCORE', reserved, text)
  if not score then
    redis.call('ZADD', reserved, at, text)
  else
    redis.call('RPUSH', list, text)
    redis.pcall('RPUSH', notify, '1')
  end
end

local starts = {}
do
  local i = 1
  while i <= #ARGV do
    starts[#starts + 1] = i
    i = i + size[ARGV[i + 3]]
  end
end

-- Removes nothing. It is here because a server out of memory refuses the first write of a script when
-- that adds, and giving a job back must work then too.
redis.call('ZREMRANGEBYSCORE', KEYS[3], 1, 0)

local held = {}
local deletes = {}
-- From the last to the first, so that jobs returned to the head stand in their old order.
for n = #starts, 1, -1 do
  local i = starts[n]
  local q = 4 * ARGV[i]
  local reserved, copy, verb = KEYS[q + 3], ARGV[i + 2], ARGV[i + 3]
  local score = tonumber(redis.call('ZSCORE', reserved, copy) or 0)
  if score % 1 ~= ARGV[i + 1] / 1048576 then
    held[n] = '0'
  else
    held[n] = '1'
    if verb == 'delete' then
      redis.call('ZREM', reserved, copy)
    elseif verb == 'release' then
      local at = now + ARGV[i + 4]
      if redis.call('ZADD', KEYS[q + 2], 'NX', at, copy) == 1 then
        redis.call('ZREM', reserved, copy)
      else
        -- Its twin is delayed already and a set holds a text once: this one stays here without our
        -- fraction and lapses at its time.
        redis.call('ZADD', reserved, at, copy)
      end
    elseif verb == 'return' then
      redis.call('LPUSH', KEYS[q + 1], ARGV[i + 4])
      redis.call('ZREM', reserved, copy)
      redis.pcall('RPUSH', KEYS[q + 4], '1')
    else
      park(KEYS[q + 1], KEYS[q + 2], reserved, KEYS[q + 4], ARGV[i + 4], now + ARGV[i + 5])
      redis.call('ZREM', reserved, copy)
    end
  end
end
return table.concat(held, '', 1, #starts)
