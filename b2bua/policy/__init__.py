"""Who may call, how much and where to: the configuration as a snapshot in memory, and the decision over it."""
