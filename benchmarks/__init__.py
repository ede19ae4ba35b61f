"""Benchmarks: what the switch can carry, measured and never asserted by a test."""
