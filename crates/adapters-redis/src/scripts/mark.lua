-- KEYS[1]: the mark; ARGV: time to live in ms. A longer time that is left stays.
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
