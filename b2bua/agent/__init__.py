"""Small user agents on real sockets, made of the stack of the switch: both ends of `softswitch demo call`."""
