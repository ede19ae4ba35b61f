"""The switch: SIP stack, transports, policy, live state, calls, and the `softswitch` command."""
