-- Ends reservations that are still held.
--
-- KEYS     seven per queue: :active, :scheduled, :signal, :meta, :done, :dead, :worker:leases
-- ARGV     seven per settlement: verb, index of the queue from 0, worker, id, attempts, seconds, result
--            done     it is done
--            failed   it has failed for good; Failed when its attempts are used up, else Killed
--            release  available again after so many seconds, its attempt counted
--            return   as it was before it was taken, at the head
--            defer    as it was before it was taken, available after so many seconds
-- Returns  one character per settlement: 1 carried out, 0 not held any more
--
-- The last settlement goes first, so that tasks returned to the head keep their order.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local flags = {}

local function available(key, id, push)
  redis.call(push, KEYS[key + 1], id)
  redis.call('DEL', KEYS[key + 3])
  redis.call('LPUSH', KEYS[key + 3], 1)
  redis.call('PUBLISH', 'tasks:' .. KEYS[key + 1] .. ':available', id)
end

local function later(key, id, seconds)
  redis.call('ZADD', KEYS[key + 2], string.format('%.0f', math.ceil(now + seconds)), id)
end

local function ended(set, meta, id, status, result)
  redis.call('SADD', set, id)
  redis.call('HSET', meta, 'status', status, 'result', result, 'done_at', time[1])
  redis.call('PUBLISH', 'tasks:' .. set, id)
end

local function settle(at)
  local verb, key, worker, id = ARGV[at], tonumber(ARGV[at + 1]) * 7, ARGV[at + 2], ARGV[at + 3]
  local attempts, seconds, result = ARGV[at + 4], tonumber(ARGV[at + 5]), ARGV[at + 6]
  local meta = KEYS[key + 4] .. ':' .. id
  local inflight = string.gsub(KEYS[key + 4], ':meta$', ':inflight') .. ':' .. worker
  local member = worker .. '|' .. id
  local held = redis.call('ZSCORE', KEYS[key + 7], member)
    and redis.call('SISMEMBER', inflight, id) == 1
    and redis.call('HGET', meta, 'attempts') == attempts
  if not held then return '0' end
  if verb == 'done' then
    ended(KEYS[key + 5], meta, id, 'Done', result)
  elseif verb == 'failed' then
    local most = tonumber(redis.call('HGET', meta, 'max_attempts')) or 0
    ended(KEYS[key + 6], meta, id, tonumber(attempts) >= most and 'Failed' or 'Killed', result)
  else
    redis.call('HSET', meta, 'status', 'Pending')
    redis.call('HDEL', meta, 'locked_at', 'locked_by')
    if verb == 'return' or verb == 'defer' then redis.call('HINCRBY', meta, 'attempts', -1) end
    if verb == 'return' then
      available(key, id, 'LPUSH')
    elseif seconds > 0 then
      later(key, id, seconds)
    else
      available(key, id, 'RPUSH')
    end
  end
  redis.call('SREM', inflight, id)
  redis.call('ZREM', KEYS[key + 7], member)
  return '1'
end

local count = #ARGV / 7
for n = count, 1, -1 do
  flags[n] = settle((n - 1) * 7 + 1)
end

return table.concat(flags)
