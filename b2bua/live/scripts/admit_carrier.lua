-- Take one session of a carrier and its gateway for one attempt, all or nothing (docs/behaviour.md §2, 16).
--
-- KEYS  for each of the two: its sessions hash, its list of recent INVITEs
-- ARGV  1: instance of the worker; then for each: greatest number of sessions, calls per second (-1: no limit)
-- Returns 0; or the number of the one whose calls per second are used up; or its negative where sessions are.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

for level = 1, #KEYS / 2 do
    local limit = tonumber(ARGV[2 * level])
    if limit >= 0 then
        local taken = 0
        for _, count in ipairs(redis.call('HVALS', KEYS[2 * level - 1])) do
            taken = taken + tonumber(count)
        end
        if taken >= limit then
            return -level
        end
    end
    -- Never more than `cps` in any one second: the cps-th newest INVITE must be older than a second.
    local cps = tonumber(ARGV[1 + 2 * level])
    if cps == 0 then
        return level
    elseif cps > 0 then
        local oldest = redis.call('LINDEX', KEYS[2 * level], cps - 1)
        if oldest and now - tonumber(oldest) < 1000000 then
            return level
        end
    end
end
for level = 1, #KEYS / 2 do
    redis.call('HINCRBY', KEYS[2 * level - 1], ARGV[1], 1)
    local cps = tonumber(ARGV[1 + 2 * level])
    if cps > 0 then
        redis.call('LPUSH', KEYS[2 * level], string.format('%.0f', now))
        redis.call('LTRIM', KEYS[2 * level], 0, cps - 1)
        redis.call('PEXPIRE', KEYS[2 * level], 2000)
    end
end
return 0
