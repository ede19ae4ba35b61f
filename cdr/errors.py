"""Faults of the records.

RecordError
    JournalLocked       another process writes the same journal
"""


class RecordError(Exception):
    """Root of the package."""


class JournalLocked(RecordError):
    """Another process writes the same journal."""
