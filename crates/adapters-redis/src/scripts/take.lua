-- Two windows, the present one and the one before, in a hash: when the present one began, and how many each has.
-- KEYS[1]: the hash; ARGV: limit, window in ms. Answers: allowed, remaining, ms until one more is allowed.
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local stored = redis.call('HMGET', KEYS[1], 'begun', 'current', 'previous')
local begun = tonumber(stored[1]) or now
local current, previous = tonumber(stored[2]) or 0, tonumber(stored[3]) or 0
if now - begun >= 2 * window then
  begun, current, previous = now, 0, 0
elseif now - begun >= window then
  begun, current, previous = begun + window, 0, current
end

local left = window - (now - begun)
local free = limit - current - math.ceil(previous * left / window)
local allowed = 0
if free >= 1 then
  allowed, free, current = 1, free - 1, current + 1
  -- Numbers are written out: Lua would shorten large ones.
  redis.call('HSET', KEYS[1], 'begun', string.format('%.0f', begun), 'current', current, 'previous', previous)
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left + window))
end

local wait = 0
if free < 1 then
  local room = limit - 1 - current
  if room >= 0 then
    wait = left - math.floor(room * window / math.max(previous, 1))
  else
    wait = left + window - math.floor((limit - 1) * window / current)
  end
end
return { allowed, math.max(free, 0), wait }
