"""The columns of a rate deck: what a cell of each may say, and how it is adjusted on the way in.

Pure: a cell comes in as text and goes out as PostgreSQL's COPY text. Left out: which header means which column and
whole lines (`rating.deck`).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Final

from rating.errors import InvalidAdjustment

DECIMALS: Final = 10
"""Decimals of an amount in a rate."""
INTEGER_DIGITS: Final = 10
LARGEST_WHOLE: Final = 2**31 - 1
PREFIX_DIGITS: Final = 30
DESTINATION_LETTERS: Final = 200

_EXACT: Final = Context(prec=120)
_QUANTUM: Final = Decimal(1).scaleb(-DECIMALS)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)
_PREFIX: Final = re.compile(r"\+?([0-9*#]+)%?", re.ASCII)
_QUOTED: Final = re.compile(r"'+[=+\-@]")

ACTIONS: Final = ("as_is", "multiply", "add", "replace")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a deck."""

    name: str
    """As in the table `rate`."""
    kind: str
    """`prefix`, `text`, `amount`, `whole`, `moment`, or `choice` of the words of `choices`."""
    synonyms: tuple[str, ...] = ()
    """Other headers that mean it, as `plain` writes them."""
    empty: str | None = None
    """What an empty cell means, as COPY text; None: it may not be empty."""
    least: int = 0
    choices: Mapping[str, str] | None = None


_MODES: Final = {"from_zero": "from_zero", "after_minimum": "after_minimum"}
_STATES: Final = {"active": "active", "1": "active", "blocked": "blocked", "inactive": "blocked", "0": "blocked"}

COLUMNS: Final = (
    Column("prefix", "prefix", ("code", "codes", "dial code", "dialcode", "dialing code", "dialling code",
                                "destination code", "dial prefix", "number prefix")),
    Column("destination", "text", ("description", "destination name", "name", "zone", "area", "region"), ""),
    Column("rate_per_minute", "amount", ("rate", "price", "rate min", "price min", "price per minute", "cost",
                                         "cost per minute", "per minute", "ppm", "tariff")),
    Column("connection_charge", "amount", ("connection", "connection fee", "connect fee", "connect charge", "ppc",
                                           "charge per connection", "per connection"), "0"),
    Column("minimum", "whole", ("min", "minimal", "minimal time", "minimum time", "minimum seconds", "first pulse",
                                "first interval", "initial interval", "first increment", "interval 1"), "1"),
    Column("resolution", "whole", ("pulse", "increment", "interval", "next interval", "subsequent interval",
                                   "next increment", "interval n", "slab"), "1", 1),
    Column("blocks_mode", "choice", ("blocks",), "from_zero", choices=_MODES),
    Column("grace", "whole", ("grace period", "grace seconds", "free seconds"), "0"),
    Column("multiplier", "amount", ("rate multiplier",), "1"),
    Column("addition", "amount", ("fix charge", "fixed charge", "fix charge per call", "fixed charge per call"), "0"),
    Column("setup", "amount", ("setup charge", "setup fee", "did setup charge", "nrc"), "0"),
    Column("rental", "amount", ("rental charge", "monthly", "monthly charge", "monthly fee", "did rental", "mrc"), "0"),
    # No number of the table: a cell that is there and empty differs from a column that is not.
    Column("channels", "whole", ("inclusive channel", "inclusive channels", "included channels"), "-1"),
    Column("status", "choice", ("state",), "active", choices=_STATES),
    Column("valid_from", "moment", ("effective", "effective date", "effective from", "start date", "active from"),
           "-infinity"),
    Column("valid_until", "moment", ("valid to", "valid till", "end date", "effective until", "expiry date", "expires"),
           "infinity"),
)  # fmt: skip
"""In the order in which they are exported."""

NAMES: Final = tuple(column.name for column in COLUMNS)

BY_NAME: Final = {column.name: column for column in COLUMNS}


@dataclass(frozen=True, slots=True)
class Adjustment:
    """A change to every cell of a column on the way in."""

    column: str
    action: str
    """One of ACTIONS."""
    operand: str = ""
    """A number, or the text that takes the cell's place."""

    @classmethod
    def parse(cls, text: str) -> "Adjustment":
        """Read `rate_per_minute=multiply:1.1`.

        Raises:
            InvalidAdjustment: another form, an unknown column or action, or an operand that does not fit.
        """
        name, _, rest = text.partition("=")
        action, _, operand = rest.partition(":")
        adjustment = cls(name.strip(), action.strip().replace(" ", "_"), operand.strip())
        adjustment.check()
        return adjustment

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            InvalidAdjustment: an unknown column or action, or an operand that does not fit.
        """
        column = BY_NAME.get(self.column)
        if column is None or column.kind == "prefix":
            raise InvalidAdjustment(f'no column to adjust is "{self.column}"; one is {", ".join(NAMES[1:])}')
        if self.action not in ACTIONS:
            raise InvalidAdjustment(f'{self.column} cannot "{self.action}"; an action is {", ".join(ACTIONS)}')
        if self.action == "replace":
            try:
                reader(column)(self.operand)
            except Wrong as wrong:
                raise InvalidAdjustment(f'{self.column} replaced by "{self.operand}": it must be {wrong}') from None
        elif self.action != "as_is":
            if column.kind not in ("amount", "whole"):
                raise InvalidAdjustment(f"{self.column} is not a number; it can only be replaced")
            if _NUMBER.fullmatch(self.operand) is None or (self.action == "multiply" and Decimal(self.operand) <= 0):
                wanted = "number above 0" if self.action == "multiply" else "number"
                raise InvalidAdjustment(f'{self.column} {self.action}: "{self.operand}" is not a {wanted}')

    def apply(self, value: Decimal) -> Decimal:
        """Multiply or add."""
        if self.action == "multiply":
            return _EXACT.multiply(value, Decimal(self.operand))
        return _EXACT.add(value, Decimal(self.operand)) if self.action == "add" else value


class Wrong(ValueError):
    """A cell that is not what it must be, which is what the text says."""


def reader(column: Column, adjustment: Adjustment | None = None) -> Callable[[str], str]:
    """Return what reads a cell of a column into COPY text; it raises Wrong."""
    read = _READERS[column.kind]

    def read_cell(cell: str) -> str:
        text = cell.strip()
        if text:
            return read(text, column, adjustment)
        if column.empty is None:
            raise Wrong("a number" if column.kind == "amount" else "a prefix; % is the one of every number")
        if adjustment is not None and column.kind in ("amount", "whole") and column.empty != "-1":
            return read(column.empty, column, adjustment)
        return column.empty

    return read_cell


def _read_prefix(text: str, _column: Column, _adjustment: Adjustment | None) -> str:
    if text == "%":
        return ""
    match = _PREFIX.fullmatch(text)
    if match is None or len(match[1]) > PREFIX_DIGITS:
        raise Wrong(f"up to {PREFIX_DIGITS} digits, * and #, or % for every number")
    return match[1]


def _read_text(text: str, _column: Column, _adjustment: Adjustment | None) -> str:
    text = unquote(text.replace("\N{NO-BREAK SPACE}", " "))
    if not text.isprintable():
        raise Wrong("text in UTF-8 without control characters")
    if len(text) > DESTINATION_LETTERS:
        raise Wrong(f"at most {DESTINATION_LETTERS} letters long")
    return text.replace("\\", "\\\\")


def _read_amount(text: str, column: Column, adjustment: Adjustment | None) -> str:
    value = _number(text, column)
    if -int(value.as_tuple().exponent) > DECIMALS:
        value = value.normalize(_EXACT)
    if -int(value.as_tuple().exponent) > DECIMALS:
        raise Wrong(f"a number with at most {DECIMALS} decimals")
    if adjustment is not None:
        value = adjustment.apply(value)
        if -int(value.as_tuple().exponent) > DECIMALS:
            value = value.quantize(_QUANTUM, ROUND_HALF_UP, _EXACT)
    if value < 0:
        raise Wrong(f"0 or more{_adjusted(value, adjustment)}")
    if value.adjusted() >= INTEGER_DIGITS:
        raise Wrong(f"less than 1 with {INTEGER_DIGITS} zeros{_adjusted(value, adjustment)}")
    return f"{value:f}"


def _read_whole(text: str, column: Column, adjustment: Adjustment | None) -> str:
    value = _number(text, column)
    if value != value.to_integral_value():
        raise Wrong("a whole number")
    if adjustment is not None:
        value = adjustment.apply(value)
    if value != value.to_integral_value() or not column.least <= value <= LARGEST_WHOLE:
        raise Wrong(f"a whole number of {column.least} or more{_adjusted(value, adjustment)}")
    return str(int(value))


def _number(text: str, column: Column) -> Decimal:
    if _NUMBER.fullmatch(text) is None:
        example = "60" if column.kind == "whole" else "0.06"
        if "," in text:
            raise Wrong(f"a number with a point and no other signs, such as {example}")
        raise Wrong(f"a number such as {example}")
    value = Decimal(text)
    # Nothing of more digits can fit, and what comes after costs time by the digit.
    if len(text) > 60 or value.adjusted() > 30:
        raise Wrong(f"less than 1 with {INTEGER_DIGITS} zeros")
    return value


def _adjusted(value: Decimal, adjustment: Adjustment | None) -> str:
    return f", and {adjustment.action} {adjustment.operand} makes it {value:f}" if adjustment is not None else ""


def _read_choice(text: str, column: Column, _adjustment: Adjustment | None) -> str:
    choices = column.choices or {}
    try:
        return choices[text.lower()]
    except KeyError:
        raise Wrong(" or ".join(dict.fromkeys(choices.values()))) from None


def _read_moment(text: str, _column: Column, _adjustment: Adjustment | None) -> str:
    try:
        return parse_moment(text).isoformat()
    except ValueError:
        raise Wrong("a time such as 2026-01-31 or 2026-01-31T08:00+01:00 (UTC without a zone), or empty") from None


def parse_moment(text: str) -> datetime:
    """Read an ISO 8601 time; UTC where it has no zone.

    Raises:
        ValueError: another form.
    """
    moment = datetime.fromisoformat(text)
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError as error:
        raise ValueError(text) from error


_READERS: Final = {
    "prefix": _read_prefix,
    "text": _read_text,
    "amount": _read_amount,
    "whole": _read_whole,
    "choice": _read_choice,
    "moment": _read_moment,
}


def unquote(text: str) -> str:
    """Take away the quote that export puts before a text that a spreadsheet would take for a formula."""
    return text[1:] if _QUOTED.match(text) else text
