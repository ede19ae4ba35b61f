-- Lift the ban of ARGV[1] and forget its failures, KEYS[5]. Returns 1, or 0 if there was none.
redis.call('DEL', KEYS[5])
if left(ARGV[1]) == 0 then
    return 0
end
redis.call('ZADD', KEYS[1], exact(now), ARGV[1])
redis.call('HDEL', KEYS[3], ARGV[1])
note(ARGV[1])
return 1
