-- Ban ARGV[1] for ARGV[2] milliseconds. ARGV[3] by whom, ARGV[4] why. Returns for how long.
put(ARGV[1], tonumber(ARGV[2]), ARGV[3], ARGV[4])
return tonumber(ARGV[2])
