-- Drop what one run owed of an account and is posted by now, and take over the account's figure that has it in the balance:
-- in one step, so that no debit counts twice or not at all.
--
-- KEYS  1: funds hash of the account    ARGV  1: run of the worker; 2: micros that it still owes
if ARGV[2] == '0' then
    redis.call('HDEL', KEYS[1], 'p:' .. ARGV[1])
else
    redis.call('HSET', KEYS[1], 'p:' .. ARGV[1], ARGV[2])
end
local waiting = redis.call('HMGET', KEYS[1], 'next', 'next_version', 'version')
if waiting[1] then
    if tonumber(waiting[2]) >= tonumber(waiting[3] or 0) then
        redis.call('HSET', KEYS[1], 'base', waiting[1], 'version', waiting[2])
    end
    redis.call('HDEL', KEYS[1], 'next', 'next_version')
end
return 0
