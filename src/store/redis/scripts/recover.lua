-- Puts back what a call of reserve took when its reply never arrived: uncounted, at the heads of the lists.
--
-- KEYS     those of that call: four per queue, then where it wrote down what it took
-- ARGV[1]  the name of that call
-- Returns  how many jobs went back; -1 when that call took nothing, or was not carried out, or is dealt with
--
-- When the call wrote its record, nobody else had its score. Only a renewal can bring someone else's
-- reservation to it later, and then there are more of them than were taken: nothing is touched, and those
-- that were taken lapse. A second call finds no record.

local record = redis.call('GET', KEYS[#KEYS]) or ''
local name, score, counts = string.match(record, '^(%S+) (%S+)(.*)$')
if name ~= ARGV[1] then return -1 end
redis.call('DEL', KEYS[#KEYS])

local function decoded_attempts(text)
  local ok, job = pcall(cjson.decode, text)
  if ok and type(job) == 'table' then return tonumber(job['attempts']), job end
end

local function lower(text, at, digits)
  return string.sub(text, 1, at - 1) .. (digits - 1) .. string.sub(text, at + #digits)
end

-- The text whose reserved copy this is: the reverse of `counted` in reserve, found in the same places.
local function uncounted(copy)
  local at, digits = string.match(copy, '[,{]"attempts":()(%d+),"delay":[%dnul]+}$', -65)
  if not at then
    at, digits = string.match(copy, '[,{]"attempts":()(%d+)}$', -33)
  end
  if at and #digits < 11 and tonumber(digits) > 0 then return lower(copy, at, digits) end
  local attempts, job = decoded_attempts(copy)
  if not attempts then return copy end
  local places, from = {}, 1
  while true do
    local s, e, place, number = string.find(copy, '[,{%s]"attempts"%s*:%s*()(%d+)%s*%f[,}]', from)
    if not s then break end
    places[#places + 1] = {place, number}
    from = e + 1
  end
  for i = #places, math.max(1, #places - 7), -1 do
    local place, number = places[i][1], places[i][2]
    if #number < 11 and tonumber(number) == attempts then
      local text = lower(copy, place, number)
      if decoded_attempts(text) == attempts - 1 then return text end
    end
  end
  job['attempts'] = attempts - 1
  local ok, text = pcall(cjson.encode, job)
  return ok and text or copy
end

local back = 0
for q, count in string.gmatch(counts, ' (%d+):(%d+)') do
  local list, reserved, notify = KEYS[4 * q + 1], KEYS[4 * q + 3], KEYS[4 * q + 4]
  local copies = redis.call('ZRANGEBYSCORE', reserved, score, score)
  if #copies == tonumber(count) then
    for i = #copies, 1, -1 do
      redis.call('LPUSH', list, uncounted(copies[i]))
      redis.call('ZREM', reserved, copies[i])
      redis.pcall('RPUSH', notify, '1')
    end
    back = back + #copies
  end
end
return back
