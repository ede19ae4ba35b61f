"""Sources that get no answer: who is banned, why, for how long, and where their packets are dropped."""
