-- Take one session, one call per second and the first slice of funds on every level of a chain, all or nothing
-- (docs/behaviour.md §2, checks 3, 14 and 15).
--
-- KEYS  for each level: its sessions hash (run -> count), its calls-per-second bucket; then for each account the funds
--       hash, as many as there are amounts
-- ARGV  1: run of the worker; 2: how many levels; 3: 1 to take a call per second, 0 where that was done before;
--       4: 1 to take sessions and funds, 0 to count the INVITE only;
--       then for each level: greatest number of sessions, calls per second (-1: no limit);
--       then for each account: micros to hold
-- Returns 0; or the level's number where calls per second are used up; or its negative where sessions are; or, where
-- funds do not suffice, what `shortage` says.
local levels = tonumber(ARGV[2])

if ARGV[3] == '1' then
    local clock = redis.call('TIME')
    local now = tonumber(clock[1]) + tonumber(clock[2]) / 1000000
    -- A bucket holds `cps` tokens and gains `cps` a second.
    local tokens = {}
    for level = 1, levels do
        local cps = tonumber(ARGV[4 + 2 * level])
        if cps >= 0 then
            local bucket = redis.call('HMGET', KEYS[2 * level], 'tokens', 'at')
            local left = cps
            if bucket[1] then
                left = math.min(cps, tonumber(bucket[1]) + (now - tonumber(bucket[2])) * cps)
            end
            if left < 1 then
                return level
            end
            tokens[level] = left
        end
    end
    for level, left in pairs(tokens) do
        -- Every INVITE counts, also one that is refused below.
        redis.call('HSET', KEYS[2 * level], 'tokens', string.format('%.6f', left - 1), 'at', string.format('%.6f', now))
        redis.call('PEXPIRE', KEYS[2 * level], 2000)
    end
end

if ARGV[4] == '0' then
    return 0
end
for level = 1, levels do
    local limit = tonumber(ARGV[3 + 2 * level])
    if limit >= 0 then
        local taken = 0
        for _, count in ipairs(redis.call('HVALS', KEYS[2 * level - 1])) do
            taken = taken + tonumber(count)
        end
        if taken >= limit then
            return -level
        end
    end
end

local short = shortage(2 * levels + 1, 5 + 2 * levels)
if short then
    return short
end

for level = 1, levels do
    redis.call('HINCRBY', KEYS[2 * level - 1], ARGV[1], 1)
end
hold(2 * levels + 1, 5 + 2 * levels, ARGV[1])
return 0
