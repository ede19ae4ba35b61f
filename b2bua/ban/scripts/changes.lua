-- What has changed since version ARGV[1]; since 0: all bans. At most ARGV[2] addresses, in the order of their changes.
-- Returns the version reached, whether there is more, and for each address how many milliseconds are left, 0 for none.
local reached = redis.call('GET', KEYS[4]) or '0'
local limit = tonumber(ARGV[2])
local found = {}
if reached ~= ARGV[1] then
    found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
end
local is_more = #found == 2 * limit
local answer = {is_more and found[#found] or reached, is_more and 1 or 0}
for index = 1, #found, 2 do
    answer[#answer + 1] = found[index]
    answer[#answer + 1] = left(found[index])
end
return answer
