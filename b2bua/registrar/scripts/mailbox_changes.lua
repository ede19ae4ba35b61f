-- What has changed since version ARGV[1], at most ARGV[2] mailboxes in the order of their changes; since -1: nothing.
-- KEYS as in report.lua. Returns the version reached, whether there is more, and each mailbox with what it holds.
local reached = redis.call('GET', KEYS[3]) or '0'
local limit = tonumber(ARGV[2])
local found = {}
if ARGV[1] ~= '-1' and reached ~= ARGV[1] then
    found = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
end
local is_more = #found == 2 * limit
local answer = {is_more and found[#found] or reached, is_more and 1 or 0}
for index = 1, #found, 2 do
    answer[#answer + 1] = found[index]
    answer[#answer + 1] = redis.call('HGET', KEYS[1], found[index]) or ''
end
return answer
