-- Ends what set_aside began, for jobs that still stand as it left them.
--
-- KEYS     list, :delayed, :notify, what is set aside
-- ARGV[1]  remove: they are elsewhere now; return: they go back to where they were
-- ARGV     then two per job: its text, its name
-- Returns  one character per job, in order: 1 done, 0 lost and not touched
--
-- From the last to the first, so that jobs put back at the head stand in their old order.

local list, delayed, notify, aside = unpack(KEYS)

local function put_back(text, due)
  if due ~= '-' then
    redis.call('ZADD', delayed, due, text)
    return
  end
  redis.call('LPUSH', list, text)
  redis.call('ZREM', delayed, text)
  redis.pcall('RPUSH', notify, '1')
end

-- Removes nothing. It is here because a server out of memory refuses the first write of a script when that
-- adds, and giving a job back must work then too.
redis.call('ZREMRANGEBYSCORE', delayed, 1, 0)

local held = {}
for n = (#ARGV - 1) / 2, 1, -1 do
  local text, name = ARGV[2 * n], ARGV[2 * n + 1]
  local record = redis.call('HGET', aside, text)
  local own, score, due
  if record then own, score, due = string.match(record, '^(%S+) (%S+) (%S+)$') end
  held[n] = '0'
  if own == name then
    local stands = redis.call('ZSCORE', delayed, text)
    if stands and tonumber(stands) == tonumber(score) then
      if ARGV[1] == 'return' then put_back(text, due) else redis.call('ZREM', delayed, text) end
      redis.call('HDEL', aside, text)
      held[n] = '1'
    elseif stands then
      -- Someone wrote over it: what stands there is another entry.
      redis.call('HDEL', aside, text)
    end
    -- Not in the set: the hold is over, and the entry may be in the list again. It keeps its name.
  end
end
return table.concat(held)
