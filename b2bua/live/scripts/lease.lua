-- Take, renew or give up what one run at a time may have.
--
-- KEYS  1: what
-- ARGV  1: who; 2: for how long, in milliseconds (0: it is given up)
-- Returns 1, or 0 where another run has it.
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then
    return 0
end
if ARGV[2] == '0' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
