"""Session descriptions and, in a process of its own, the media engine."""
