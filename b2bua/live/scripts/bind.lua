-- Replace the bindings of a SIP user, unless they have changed since they were read.
--
-- KEYS  1: the user's bindings
-- ARGV  1: what was read (empty: nothing was there); 2: the bindings now (empty: none); 3: when the last of them
--       expires, in milliseconds since 1970
-- Returns 1; or what is there, where that is not what was read (empty: nothing).
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then
    return current
end
if ARGV[2] == '' then
    redis.call('DEL', KEYS[1])
else
    redis.call('SET', KEYS[1], ARGV[2], 'PXAT', ARGV[3])
end
return 1
