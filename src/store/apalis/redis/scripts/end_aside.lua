-- Ends what set_aside began, for tasks that still stand as it left them.
--
-- KEYS     :active, :scheduled, :signal, :data, :meta, :worker:aside
-- ARGV[1]  remove: they are elsewhere now; return: they go back to where they were
-- ARGV     then two per task: its id, its score in :scheduled when it was set aside
-- Returns  one character per task, in order: 1 done, 0 lost and not touched
--
-- From the last to the first, so that tasks put back at the head stand in their old order. Whoever has them held
-- anew gives them a later score.

local active, scheduled, signal, data, meta, aside = unpack(KEYS)
local flags = {}

for n = (#ARGV - 1) / 2, 1, -1 do
  local id, asked = ARGV[2 * n], ARGV[2 * n + 1]
  local record = redis.call('HGET', aside, id)
  local stands = redis.call('ZSCORE', scheduled, id)
  local score, due
  if record then score, due = string.match(record, '^(%S+) %S+ (%S+)$') end
  flags[n] = '0'
  local ours = score and stands and tonumber(stands) == tonumber(score) and tonumber(asked) <= tonumber(score)
  if ours then
    if ARGV[1] == 'remove' then
      redis.call('ZREM', scheduled, id)
      redis.call('HDEL', data, id)
      redis.call('DEL', meta .. ':' .. id)
    elseif due == '-' then
      redis.call('LPUSH', active, id)
      redis.call('ZREM', scheduled, id)
      redis.call('DEL', signal)
      redis.call('LPUSH', signal, 1)
    else
      redis.call('ZADD', scheduled, due, id)
    end
    redis.call('HDEL', aside, id)
    flags[n] = '1'
  end
end

return table.concat(flags)
