-- Hold more of every account's funds, all or nothing.
--
-- KEYS  funds hashes of the accounts    ARGV  1: run of the worker; then for each account: micros to hold besides
-- Returns 0, or what `shortage` says.
local short = shortage(1, 2)
if short then
    return short
end
hold(1, 2, ARGV[1])
return 0
