-- Count a failure of ARGV[1] in KEYS[5], the times of the last ones; ban it if they make ARGV[2] within ARGV[3] ms.
-- ARGV[4] for how long, ARGV[5] by whom, ARGV[6] why. Returns for how many milliseconds it is banned now, 0 for none.
local already = left(ARGV[1])
if already > 0 then
    return already
end
local most = tonumber(ARGV[2])
redis.call('LPUSH', KEYS[5], exact(now))
redis.call('LTRIM', KEYS[5], 0, most - 1)
redis.call('PEXPIRE', KEYS[5], ARGV[3])
local first = redis.call('LINDEX', KEYS[5], most - 1)
if not first or now - tonumber(first) > tonumber(ARGV[3]) then
    return 0
end
redis.call('DEL', KEYS[5])
put(ARGV[1], tonumber(ARGV[4]), ARGV[5], ARGV[6])
return tonumber(ARGV[4])
