-- Give back one session on every level, and turn what accounts hold into what they owe.
--
-- KEYS  sessions hashes; then the funds hashes of the accounts
-- ARGV  1: run of the worker; 2: how many sessions hashes; then for each account: change of the micros held (negative),
--       micros owed
local sessions = tonumber(ARGV[2])
for level = 1, sessions do
    if redis.call('HINCRBY', KEYS[level], ARGV[1], -1) <= 0 then
        redis.call('HDEL', KEYS[level], ARGV[1])
    end
end
for account = 1, #KEYS - sessions do
    local key = KEYS[sessions + account]
    if redis.call('HINCRBY', key, 'h:' .. ARGV[1], ARGV[1 + 2 * account]) <= 0 then
        redis.call('HDEL', key, 'h:' .. ARGV[1])
    end
    if ARGV[2 + 2 * account] ~= '0' then
        redis.call('HINCRBY', key, 'p:' .. ARGV[1], ARGV[2 + 2 * account])
    end
end
return 0
