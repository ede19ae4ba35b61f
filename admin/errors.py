"""Faults of the panel.

ConfigurationError
ListenFailed     the panel's port is taken or its address is not ours
PanelError           an answer in its own right
NotFound         404: no such object, or not visible to this login
SearchTooLong    a list's filters match too little in too much data
"""

from conf.errors import ConfigurationError


class ListenFailed(ConfigurationError):
    """The panel's port is taken, or its address is not one of this machine."""


class PanelError(Exception):
    """A fault that has a page of its own."""


class NotFound(PanelError):
    """No such object, or one that this login may not see: the answer is the same."""


class SearchTooLong(PanelError):
    """A list took longer than its time limit."""
