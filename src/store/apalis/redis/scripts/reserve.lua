-- Takes tasks from the heads of queues and holds each under a lease.
--
-- KEYS     seven per queue, first queue first: :active, :scheduled, :signal, :data, :meta, :workers,
--          :worker:leases; also touched: the keys below :meta and :inflight, named after these
-- ARGV[1]  tasks to take at most
-- ARGV[2]  lease, in seconds, may have decimals
-- ARGV[3]  the name of this worker, without a |
-- ARGV[4]  tasks to promote at most, from each sorted set
-- ARGV[5]  bytes of data after which nothing more is taken
-- Returns  four values per task: index of its queue from 0, id, data, its fields as they were before; and
--          three for an id that had nothing to it and was dropped: index, id, nothing
--
-- What adds comes before what removes, so an error half-way can double an entry and never lose one.

local want = tonumber(ARGV[1])
local worker = ARGV[3]
local most = tonumber(ARGV[4])
local limit = tonumber(ARGV[5])

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local expiry = string.format('%.6f', now + tonumber(ARGV[2]))

local result = {}
local taken, bytes = 0, 0

-- Moves what is due to the end of the list, by time and then by id.
local function promote(scheduled, active)
  local moved = 0
  while moved < most do
    local due = redis.call('ZRANGEBYSCORE', scheduled, '-inf', time[1], 'LIMIT', 0, math.min(500, most - moved))
    if #due == 0 then return end
    redis.call('RPUSH', active, unpack(due))
    redis.call('ZREMRANGEBYRANK', scheduled, 0, #due - 1)
    moved = moved + #due
  end
end

-- Gives back what a worker of ours held past its lease. What stock workers re-enqueued before is theirs.
local function lapse(leases, active, inflight, meta)
  local over = redis.call('ZRANGEBYSCORE', leases, '-inf', string.format('%.6f', now), 'LIMIT', 0, most)
  for _, member in ipairs(over) do
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

local function take(index, key, inflight)
  local ids = redis.call('LRANGE', KEYS[key + 1], 0, want - taken - 1)
  if #ids == 0 then return end
  redis.call('ZADD', KEYS[key + 6], time[1], worker)
  local seen = 0
  for place, id in ipairs(ids) do
    local data = redis.call('HGET', KEYS[key + 4], id)
    local member = worker .. '|' .. id
    if data and not redis.call('ZSCORE', KEYS[key + 7], member) then
      if taken > 0 and bytes + #data > limit then
        want = taken
        break
      end
      local meta = KEYS[key + 5] .. ':' .. id
      local fields = redis.call('HGETALL', meta)
      local attempts = tonumber(redis.call('HGET', meta, 'attempts')) or 0
      redis.call('SADD', inflight .. ':' .. worker, id)
      redis.call('ZADD', KEYS[key + 7], expiry, member)
      redis.call('HSET', meta, 'status', 'Running', 'attempts', attempts + 1, 'locked_by', worker, 'locked_at', time[1])
      for _, value in ipairs({ index, id, data, fields }) do result[#result + 1] = value end
      taken, bytes = taken + 1, bytes + #data
    else
      for _, value in ipairs({ index, id, false }) do result[#result + 1] = value end
    end
    seen = place
  end
  redis.call('LTRIM', KEYS[key + 1], seen, -1)
  if redis.call('LLEN', KEYS[key + 1]) == 0 then redis.call('DEL', KEYS[key + 3]) end
end

for index = 0, #KEYS / 7 - 1 do
  local key = index * 7
  local inflight = string.gsub(KEYS[key + 5], ':meta$', ':inflight')
  promote(KEYS[key + 2], KEYS[key + 1])
  lapse(KEYS[key + 7], KEYS[key + 1], inflight, KEYS[key + 5])
  -- A double entry takes a place of its batch: look once more when the batch is not full.
  while taken < want do
    local before = redis.call('LLEN', KEYS[key + 1])
    if before == 0 then break end
    take(index, key, inflight)
  end
  if taken >= want then break end
end

return result
