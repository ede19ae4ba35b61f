-- What the scripts of bans share.
-- KEYS[1] sorted set: address -> when its ban ends, in milliseconds. A lifted ban ends at that moment and stays here for
-- a while, so that every worker hears of it.
-- KEYS[2] sorted set: address -> version of its last change. KEYS[3] hash: address -> why, in JSON. KEYS[4] last version.

local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = math.floor(micros / 1000)
local KEPT, LIMIT = 60000, 100000

local function exact(number)
    -- tostring() would round what has more than 14 digits.
    return string.format('%.0f', number)
end

local function note(address)
    -- A clock reading, so that a store that lost its data never comes to a version that a worker has seen.
    local last = tonumber(redis.call('GET', KEYS[4]) or '0')
    local version = exact(math.max(last + 1, micros))
    redis.call('SET', KEYS[4], version)
    redis.call('ZADD', KEYS[2], version, address)
end

local function forget(addresses)
    for _, address in ipairs(addresses) do
        redis.call('ZREM', KEYS[1], address)
        redis.call('ZREM', KEYS[2], address)
        redis.call('HDEL', KEYS[3], address)
    end
end

local function put(address, milliseconds, by, reason)
    local ends = now + milliseconds
    redis.call('ZADD', KEYS[1], exact(ends), address)
    local detail = {by = by, reason = reason, since = now / 1000, ['until'] = ends / 1000}
    redis.call('HSET', KEYS[3], address, cjson.encode(detail))
    note(address)
    forget(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', exact(now - KEPT), 'LIMIT', 0, 100))
    local surplus = redis.call('ZCARD', KEYS[1]) - LIMIT
    if surplus > 0 then
        forget(redis.call('ZRANGE', KEYS[1], 0, surplus - 1))
    end
end

local function left(address)
    return math.max(0, tonumber(redis.call('ZSCORE', KEYS[1], address) or '0') - now)
end

