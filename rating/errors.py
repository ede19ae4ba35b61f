"""Faults of money.

    RatingError
        InvalidAmount       not a positive number, or more digits than the ledger keeps
        InvalidEntryKind    a kind of entry that cannot be booked by hand
        UnknownAccount      no account has this code or id
        UnknownEntry        the account has no entry of that number that may be taken back
        MissingExchangeRate two currencies have no rate at a moment
        InvalidDeck         a file of rates that cannot be read at all, or columns that do not fit it
        InvalidAdjustment   a column that cannot be adjusted so
        UnknownRatecard     no ratecard has this name
        NothingToUndo       the last import of a ratecard is gone, undone or overtaken by other changes
        InvalidPackedFile   a file of packed rows that is damaged, cut or of another format

None of them leaves anything behind: what belongs together is written together or not at all.
"""


class RatingError(Exception):
    """Something that could not be priced or booked."""


class InvalidAmount(RatingError):
    """An amount that is not a positive number, or has more digits than the ledger keeps."""


class InvalidEntryKind(RatingError):
    """A kind of ledger entry that is not booked by hand."""


class UnknownAccount(RatingError):
    """No account has this code or id."""


class UnknownEntry(RatingError):
    """The account has no entry of that number that may be taken back."""


class MissingExchangeRate(RatingError):
    """Two currencies that have no rate at a moment."""


class InvalidDeck(RatingError):
    """A file of rates that cannot be read at all, or columns that do not fit it."""


class InvalidAdjustment(RatingError):
    """A column that cannot be adjusted in this way."""


class UnknownRatecard(RatingError):
    """No ratecard has this name."""


class NothingToUndo(RatingError):
    """An import that is gone, undone, or overtaken by other changes."""


class InvalidPackedFile(RatingError):
    """A file of packed rows that is damaged, cut, of another format or of another table."""
