-- Common to the scripts that hold funds: what each account may spend.
--
-- Looks at the funds hashes KEYS[first], KEYS[first + 1], … and the micros wanted of each, ARGV[wanted], ….
-- Returns nothing where all suffice; else a list: the number of the first account that falls short, then what each may
-- spend, in micros (false: the store does not know).
local function shortage(first, wanted)
    local short = 0
    local available = {}
    for account = 0, #KEYS - first do
        local amount = tonumber(ARGV[wanted + account])
        local fields = redis.call('HGETALL', KEYS[first + account])
        local base, used = false, 0
        for position = 1, #fields, 2 do
            if fields[position] == 'base' then
                base = tonumber(fields[position + 1])
            elseif string.sub(fields[position], 2, 2) == ':' then
                used = used + tonumber(fields[position + 1])
            end
        end
        available[account + 1] = base and string.format('%.0f', base - used)
        if short == 0 and (not base or (amount > 0 and base - used < amount)) then
            short = account + 1
        end
    end
    if short > 0 then
        return {short, unpack(available)}
    end
end

local function hold(first, wanted, run)
    for account = 0, #KEYS - first do
        redis.call('HINCRBY', KEYS[first + account], 'h:' .. run, ARGV[wanted + account])
    end
end
