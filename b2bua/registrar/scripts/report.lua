-- Mailbox ARGV[1] holds ARGV[2], `new/old`.
-- KEYS[1] hash: mailbox -> what it holds. KEYS[2] sorted set: mailbox -> version of its last change. KEYS[3] last version.
-- Returns 1, or 0 where it held that already.
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then
    return 0
end
-- A clock reading, so that a store that lost its data never comes to a version that a worker has seen.
local time = redis.call('TIME')
local last = tonumber(redis.call('GET', KEYS[3]) or '0')
local version = string.format('%.0f', math.max(last + 1, time[1] * 1000000 + time[2]))
redis.call('SET', KEYS[3], version)
redis.call('ZADD', KEYS[2], version, ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
return 1
