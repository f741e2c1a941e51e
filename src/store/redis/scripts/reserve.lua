-- Takes jobs from the heads of queues and holds each under a lease.
--
-- KEYS     four per queue, first queue first: list, :delayed, :reserved, :notify; then where to write down
--          what this call took
-- ARGV[1]  jobs to take at most
-- ARGV[2]  lease, in seconds, may have decimals
-- ARGV[3]  our fraction of the score, in 1/2^20 of a second, never 0
-- ARGV[4]  jobs to promote at most, from each sorted set
-- ARGV[5]  bytes of payload after which nothing more is taken
-- ARGV[6]  the name of this call
-- Returns  one array for each queue that gave jobs: the queue's index from 0, then for each job its text
--          and how its reserved copy differs:
--          n > 0            the number that begins at byte n is one higher
--          0                not at all: no attempts can be read
--          {copy, attempts} written anew, as Laravel does
--
-- What adds comes before what removes, so an error half-way can double an entry and never lose one. A
-- server out of memory refuses the first write of a script and no later one.

local want = tonumber(ARGV[1])
local lease = tonumber(ARGV[2])
local fraction = tonumber(ARGV[3]) / 1048576
local most = tonumber(ARGV[4])
local limit = tonumber(ARGV[5])

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local now_text = string.format('%.17g', now)
-- The first moment with our fraction that is not before the lease's end.
local expiry = string.format('%.17g', math.ceil(now + lease - fraction) + fraction)

local taken = 0
local bytes = 0
-- Whether someone else's reservation has our score: then it does not tell which are ours.
local shared = false

-- Moves what is due from a sorted set to the end of the list, by score and then by member, as Laravel
-- does; one notify entry each.
local function promote(source, list, notify)
  local moved, weight, chunk = 0, 0, 16
  while moved < most and weight < limit do
    local ask = math.min(chunk, most - moved)
    local due = redis.call('ZRANGEBYSCORE', source, '-inf', now_text, 'LIMIT', 0, ask)
    if #due == 0 then return end
    local ones = {}
    for i, text in ipairs(due) do
      ones[i] = '1'
      weight = weight + #text
    end
    redis.call('RPUSH', list, unpack(due))
    redis.call('ZREMRANGEBYRANK', source, 0, #due - 1)
    redis.pcall('RPUSH', notify, unpack(ones))
    if #due < ask then return end
    moved, chunk = moved + #due, 100
  end
end

local function decoded_attempts(text)
  local ok, job = pcall(cjson.decode, text)
  if ok and type(job) == 'table' then return tonumber(job['attempts']), job end
end

-- Where the number after the last top-level "attempts" stands, when the text is not of Laravel's usual
-- form. A quote after a brace, a comma or a space begins a string or ends one, and only a key can follow
-- it this way; that it is the top level's is shown by reading the edited text again.
local function find_attempts(text, attempts)
  local places, from = {}, 1
  while true do
    local s, e, at, digits = string.find(text, '[,{%s]"attempts"%s*:%s*()(%d+)%s*%f[,}]', from)
    if not s then break end
    places[#places + 1] = {at, digits}
    from = e + 1
  end
  for i = #places, math.max(1, #places - 7), -1 do
    local at, digits = places[i][1], places[i][2]
    if #digits < 10 and tonumber(digits) == attempts then
      local copy = string.sub(text, 1, at - 1) .. (attempts + 1) .. string.sub(text, at + #digits)
      if decoded_attempts(copy) == attempts + 1 then return copy, at end
    end
  end
end

-- The reserved copy of a text, and what to say about it. Laravel writes the number last, or just before
-- "delay": there nothing needs to be parsed, and for small numbers not even searched.
local function counted(text)
  local digit = string.match(text, '^,"attempts":(%d),"delay":null}$', -27)
  if digit then
    return string.sub(text, 1, -16) .. (digit + 1) .. ',"delay":null}', #text - 14
  end
  digit = string.match(text, '^,"attempts":(%d)}$', -14)
  if digit then
    return string.sub(text, 1, -3) .. (digit + 1) .. '}', #text - 1
  end
  local at, digits = string.match(text, '[,{]"attempts":()(%d+),"delay":[%dnul]+}$', -64)
  if not at then
    at, digits = string.match(text, '[,{]"attempts":()(%d+)}$', -32)
  end
  if at and #digits < 10 then
    return string.sub(text, 1, at - 1) .. (digits + 1) .. string.sub(text, at + #digits), at
  end
  local attempts, job = decoded_attempts(text)
  if not attempts then return text, 0 end
  local copy, place = find_attempts(text, attempts)
  if copy then return copy, place end
  job['attempts'] = attempts + 1
  local ok, again = pcall(cjson.encode, job)
  if not ok then return text, 0 end
  return again, {again, attempts + 1}
end

-- Reads texts from a place in the list on: so many, or until they are heavy together. Says whether there may
-- be more.
local function read(list, from, count)
  local texts, weight, chunk = {}, 0, 4
  while #texts < count and bytes + weight < limit do
    local ask = math.min(chunk, count - #texts)
    local part = redis.call('LRANGE', list, from + #texts, from + #texts + ask - 1)
    for _, text in ipairs(part) do
      if bytes + weight >= limit then break end
      texts[#texts + 1] = text
      weight = weight + #text
    end
    if #part < ask then return texts, false end
    -- As many as are light enough, if they are like these.
    chunk = math.max(1, math.floor((limit - bytes) * #texts / math.max(1, weight)))
  end
  return texts, true
end

-- Reserves copies one by one; says which were not reserved before.
local function reserve_each(reserved, copies)
  local fresh = {}
  for i, copy in ipairs(copies) do fresh[i] = redis.call('ZADD', reserved, 'NX', expiry, copy) == 1 end
  return fresh
end

-- Reserves copies in one call; says which were not reserved before, or nothing when that is all of them, as
-- it nearly always is. A set can hold a text only once, and the texts of a list may have twins.
local function reserve_all(reserved, copies)
  -- If nobody has our score yet, it tells afterwards which ones were added now.
  if redis.call('ZCOUNT', reserved, expiry, expiry) > 0 then
    shared = true
    return reserve_each(reserved, copies)
  end
  local members = {}
  for i, copy in ipairs(copies) do members[2 * i - 1], members[2 * i] = expiry, copy end
  if redis.call('ZADD', reserved, 'NX', unpack(members)) == #copies then return end
  local fresh, known = {}, {}
  for i, copy in ipairs(copies) do
    fresh[i] = not known[copy] and tonumber(redis.call('ZSCORE', reserved, copy)) == tonumber(expiry)
    known[copy] = true
  end
  return fresh
end

-- Takes from the head of the list. A text whose copy is reserved already stays where it is, and others
-- behind it are taken instead, within reason.
local function take(list, reserved, jobs)
  local twins, seen, more = {}, 0, true
  local last = want - taken + 1000
  while more and taken < want and bytes < limit and seen < last do
    local texts, copies, edits, fresh
    texts, more = read(list, seen, want - taken)
    if #texts == 0 then break end
    copies, edits = {}, {}
    for i, text in ipairs(texts) do copies[i], edits[i] = counted(text) end
    if seen == 0 then
      fresh = reserve_all(reserved, copies)
    else
      fresh = reserve_each(reserved, copies)
    end
    for i, text in ipairs(texts) do
      if not fresh or fresh[i] then
        jobs[#jobs + 1] = text
        jobs[#jobs + 1] = edits[i]
        taken = taken + 1
        bytes = bytes + #text
      else
        twins[#twins + 1] = text
      end
    end
    seen = seen + #texts
  end
  if #jobs > 1 then
    redis.call('LTRIM', list, seen, -1)
    for i = #twins, 1, -1 do redis.call('LPUSH', list, twins[i]) end
  end
end

-- Removes the notify entries that have no job left: one for each job taken, less those that a blocked
-- client has taken already.
local function keep_step(list, notify)
  local bells = redis.pcall('LLEN', notify)
  if type(bells) ~= 'number' or bells == 0 then return end
  local excess = bells - redis.call('LLEN', list)
  if excess > 0 then redis.call('LTRIM', notify, excess, -1) end
end

local reply, record = {}, {ARGV[6], expiry}
for q = 0, (#KEYS - 1) / 4 - 1 do
  if taken >= want or bytes >= limit then break end
  local list, delayed, reserved, notify = KEYS[4 * q + 1], KEYS[4 * q + 2], KEYS[4 * q + 3], KEYS[4 * q + 4]
  promote(delayed, list, notify)
  promote(reserved, list, notify)
  local jobs = {q}
  take(list, reserved, jobs)
  keep_step(list, notify)
  if #jobs > 1 then
    reply[#reply + 1] = jobs
    record[#record + 1] = q .. ':' .. (#jobs - 1) / 2
  end
end
-- For recover, should the reply never arrive. No job depends on it.
if taken > 0 and not shared then
  redis.pcall('SET', KEYS[#KEYS], table.concat(record, ' '), 'EX', math.ceil(lease))
end
return reply
