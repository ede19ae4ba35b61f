"""Faults of changes to customers.

AccountsError
AlreadyThere     there is such a thing already
Refused          what the change asks for cannot be: the field, and why
"""


class AccountsError(Exception):
    """A change that cannot be made; its text is for the person who asked for it."""


class AlreadyThere(AccountsError):
    """There is such a thing already."""


class Refused(AccountsError):
    """A value is good by itself and not here."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(why)
        self.field = field
        """Which field of the form is to blame."""
