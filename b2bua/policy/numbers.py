"""Number rules, CLI rules and dialing patterns: parsed once, compiled, applied on every call (docs/behaviour.md §3).

A rule is `LEFT=>RIGHT` (allows) or a lone `LEFT` (disallows). Compiled rules are tables keyed by literal prefix, so
that thousands of them cost no more than a few. Once built they never change: whoever has the same texts may share them.
URI parameters are cut before, by the caller.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, Literal, Protocol, Self, TypeVar

T = TypeVar("T")
Code = Literal["", "NONE", "BLOCKED"]

_NUMBER = re.compile(r"\+?[0-9*#]+")
_LEFT = re.compile(r"(\+?)([0-9*#]*)(?:\{([0-9]{1,3})\})?(?:(\|)([0-9*#]*))?(?:\{([0-9]{1,3})\})?(%?)")
_RIGHT = re.compile(r"(\+?[0-9*#]*)(%?)")
_STRANGE = re.compile(r"[^0-9*#+|{}%]")
_BRACES = re.compile(r"\{[0-9]{1,3}\}")


class InvalidRule(ValueError):
    """A rule or pattern that cannot be read, or that could never match (docs/behaviour.md §3)."""


def is_number(text: str) -> bool:
    """Whether a text is a number: digits, * and #, perhaps with one leading + (docs/behaviour.md §3)."""
    return (text.isascii() and text.isdigit()) or _NUMBER.fullmatch(text) is not None


@dataclass(slots=True)
class Pattern:
    """The LEFT of a rule, or a dialing pattern (docs/behaviour.md §3)."""

    strip: str
    """What the number loses at its beginning: all that stands before the `|`, with the + if it is named there."""
    literal: str
    """All literal digits (* and # are among them), before and after the `|`, without a +."""
    length: int | None
    """From `{N}`: how many digits the whole number has, its + not counted; None: any."""
    is_open: bool
    """Whether more may follow the literal digits (`%`)."""
    has_plus: bool
    """Whether it names a leading +, and so is for numbers that came with one."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a pattern (docs/behaviour.md §3).

        Args:
            text: `44%`, `44`, `44|%`, `44{4}|%`, `{10}%`, `44{12}%`, `+44|20%`; nothing is trimmed.

        Raises:
            InvalidRule: It has another shape, or no number could match it.
        """
        match = _LEFT.fullmatch(text)
        if match is None:
            raise InvalidRule(f"{text!r}: {_name_fault(text)}")
        plus, before, first_length, bar, after, last_length, percent = match.groups(default="")
        if first_length and last_length:
            raise InvalidRule(f"{text!r}: {{N}} may stand only once")
        length = first_length or last_length
        pattern = cls(
            strip=plus + before if bar else "",
            literal=before + after,
            length=int(length) if length else None,
            is_open=bool(percent),
            has_plus=bool(plus),
        )
        pattern._refuse_the_impossible(text)
        return pattern

    def _refuse_the_impossible(self, text: str) -> None:
        """Raise InvalidRule for what is well formed but could never match."""
        digits = len(self.literal)
        if not digits and not self.is_open:
            raise InvalidRule(f"{text!r}: names no number: without % at the end it needs digits")
        if self.length is None:
            return
        if self.length < max(digits, 1):
            raise InvalidRule(f"{text!r}: no number of {digits or 'any'} digits is {{{self.length}}} long")
        if not self.is_open and self.length != digits:
            raise InvalidRule(f"{text!r}: without % at the end the number has {digits} digits, not {{{self.length}}}")

    def __str__(self) -> str:
        """The usual spelling, in which `{N}` stands before the `|`."""
        length = "" if self.length is None else f"{{{self.length}}}"
        plus = "+" if self.has_plus else ""
        percent = "%" if self.is_open else ""
        if not self.strip:
            return f"{plus}{self.literal}{length}{percent}"
        rest = self.literal[len(self.strip) - self.has_plus :]
        return f"{self.strip}{length}|{rest}{percent}"

    @property
    def rank(self) -> tuple[int, bool, bool]:
        """Of two patterns that match, the one with the greater rank wins (docs/behaviour.md §3)."""
        return len(self.literal), not self.is_open, self.length is not None

    @property
    def is_any(self) -> bool:
        """Whether it is `%` and nothing more: the only one that what is no number matches (docs/behaviour.md §3)."""
        return self.is_open and not self.literal and not self.has_plus and self.length is None

    def matches(self, number: str) -> bool:
        """Whether a number, as received, matches (docs/behaviour.md §3)."""
        if not is_number(number):
            return self.is_any
        if self.has_plus and number[0] != "+":
            return False
        digits = number.removeprefix("+")
        if self.length is not None and len(digits) != self.length:
            return False
        return digits.startswith(self.literal) if self.is_open else digits == self.literal

    def strip_from(self, number: str) -> str:
        """The rest of a number that matches; its + is gone unless the pattern names it (docs/behaviour.md §3)."""
        if not self.has_plus and number[:1] == "+" and is_number(number):
            number = number[1:]
        return number[len(self.strip) :] if self.strip else number


def _name_fault(text: str) -> str:
    """What keeps a text from being a pattern."""
    strange = _STRANGE.search(text)
    braceless = _BRACES.sub("", text)
    if strange is not None:
        return f"{strange.group()!r} is not among digits, * # + | {{N}} and %"
    if "+" in text[1:]:
        return "+ may stand only at the beginning"
    if text.count("|") > 1:
        return "| may stand only once"
    if "%" in text[:-1]:
        return "% may stand only once, at the end"
    if "{" in braceless or "}" in braceless:
        return "{N} is one to three digits in braces"
    return "{N} may stand only once, after the digits and before | or %"


@dataclass(slots=True)
class NumberRule:
    """A number rule: what it matches and what becomes of the number (docs/behaviour.md §3)."""

    pattern: Pattern
    is_allowed: bool
    """False: a lone LEFT, which disallows."""
    digits: str
    """What is prepended or takes the place of the number; empty: nothing."""
    keeps_number: bool
    """Whether the stripped number stands in the result."""
    text: str = field(compare=False)
    """As written."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule (docs/behaviour.md §3).

        Args:
            text: `LEFT=>%` or `LEFT=>` (keep the stripped number), `LEFT=>X%` (prepends X), `LEFT=>X` (replaces it),
                or a lone `LEFT`; nothing is trimmed.

        Raises:
            InvalidRule: It has another shape, or no number could match it.
        """
        left, arrow, right = text.partition("=>")
        match = _RIGHT.fullmatch(right)
        if match is None:
            raise InvalidRule(f"{text!r}: the right side is %, digits, digits with % at the end, or empty")
        digits, percent = match.groups()
        return cls(Pattern.parse(left), bool(arrow), digits, bool(percent) or not digits, text)

    def __str__(self) -> str:
        """The usual spelling."""
        if not self.is_allowed:
            return str(self.pattern)
        return f"{self.pattern}=>{self.digits}{'%' if self.keeps_number else ''}"

    @property
    def rank(self) -> tuple[int, bool, bool, bool]:
        """Of two rules that match, the one with the greater rank wins (docs/behaviour.md §3)."""
        return *self.pattern.rank, not self.is_allowed

    def apply(self, number: str) -> str:
        """What becomes of a number, as received, that matches an allowing rule (docs/behaviour.md §3).

        Where something is prepended, a + that is left at the beginning of the number goes. What is no number is kept by
        `%` and is replaced by X with `X%` as with `X`.
        """
        if not self.keeps_number:
            return self.digits
        if not self.digits:
            return self.pattern.strip_from(number)
        return self.digits + self.pattern.strip_from(number).removeprefix("+") if is_number(number) else self.digits


@dataclass(slots=True)
class CLIRule(NumberRule):
    """A rule for the CLI by destination: LEFT is the destination's, RIGHT the CLI's (docs/behaviour.md §3)."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a rule (docs/behaviour.md §3).

        Args:
            text: As a number rule, but always with `=>` and never with `|`.

        Raises:
            InvalidRule: It has another shape, or no number could match it.
        """
        if "=>" not in text:
            raise InvalidRule(f"{text!r}: a CLI rule needs =>: it rewrites, it cannot disallow")
        if "|" in text:
            raise InvalidRule(f"{text!r}: a CLI rule has no |: the destination is not its to strip")
        # Named in full: super() finds no cell in a class that dataclass has rebuilt for its slots.
        return super(CLIRule, cls).parse(text)

    def rewrite(self, cli: str) -> str:
        """What becomes of a CLI when the destination matches (docs/behaviour.md §3).

        Where something is prepended, the CLI's + goes first; a CLI that is no number is left as it is.
        """
        if not self.keeps_number:
            return self.digits
        return self.digits + cli.removeprefix("+") if self.digits and is_number(cli) else cli


class _Ranked(Protocol):
    """What a table holds."""

    @property
    def pattern(self) -> Pattern: ...

    @property
    def rank(self) -> tuple[int | bool, ...]: ...

    @property
    def text(self) -> str: ...


E = TypeVar("E", bound=_Ranked)


@dataclass(slots=True)
class _Bucket(Generic[E]):
    """The best entries of one literal prefix, in the order in which they are tried."""

    exact: E | None = None
    sized: dict[int, E] = field(default_factory=dict)
    """Open ones with `{N}`, by N."""
    open: E | None = None

    def add(self, entry: E) -> None:
        """Take in an entry, unless a better one has its place."""
        pattern = entry.pattern
        if not pattern.is_open:
            self.exact = self.exact or entry
        elif pattern.length is not None:
            self.sized.setdefault(pattern.length, entry)
        else:
            self.open = self.open or entry


class _Prefixes(Generic[E]):
    """Entries by literal prefix."""

    __slots__ = ("_buckets", "_lengths")

    def __init__(self, best_first: Iterable[E]) -> None:
        self._buckets: dict[str, _Bucket[E]] = {}
        for entry in best_first:
            self._buckets.setdefault(entry.pattern.literal, _Bucket()).add(entry)
        self._lengths = sorted({len(literal) for literal in self._buckets}, reverse=True)

    def find(self, digits: str) -> E | None:
        """The best entry for a number without its +."""
        size = len(digits)
        for length in self._lengths:
            if length > size:
                continue
            bucket = self._buckets.get(digits[:length])
            if bucket is None:
                continue
            if length == size and bucket.exact is not None:
                return bucket.exact
            found = bucket.sized.get(size, bucket.open) if bucket.sized else bucket.open
            if found is not None:
                return found
        return None


class _Table(Generic[E]):
    """Entries compiled for numbers with +, numbers without and what is no number."""

    __slots__ = ("_any", "_bare", "_plussed", "only")

    def __init__(self, entries: Iterable[E]) -> None:
        # Equals in rank stand in an order of their own, however they came: first those that name the +, then by text.
        ordered = sorted(entries, key=lambda entry: (not entry.pattern.has_plus, entry.text))
        ordered.sort(key=lambda entry: entry.rank, reverse=True)
        bare = [entry for entry in ordered if not entry.pattern.has_plus]
        self._bare = _Prefixes(bare)
        self._plussed = self._bare if len(bare) == len(ordered) else _Prefixes(ordered)
        self._any = next((entry for entry in bare if entry.pattern.is_any), None)
        self.only = self._any if len(ordered) == 1 else None
        """The only entry, if it is a `%`."""

    def find(self, number: str) -> E | None:
        """The entry that wins for a number as received, or None."""
        if not is_number(number):
            return self._any
        if number[0] == "+":
            return self._plussed.find(number[1:])
        return self._bare.find(number)


@dataclass(slots=True)
class Verdict:
    """What the rules say of a number (docs/behaviour.md §3)."""

    number: str
    """Translated where it is allowed, else as received."""
    code: Code
    """Empty: allowed; NONE: no rule matches; BLOCKED: a disallowing rule won."""
    rule: str
    """The rule that won, as written; empty: none matches."""


class NumberRules:
    """The number rules of one side of an account, reseller or carrier, compiled (docs/behaviour.md §3)."""

    __slots__ = ("_kept_by", "_table")

    def __init__(self, rules: Iterable[NumberRule]) -> None:
        self._table = _Table(rules)
        only = self._table.only
        plain = only is not None and only.is_allowed and only.keeps_number and not only.digits
        self._kept_by = only.text if only is not None and plain else ""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Read and compile rules, in any order (docs/behaviour.md §3).

        Raises:
            InvalidRule: One of them cannot be read.
        """
        return cls([NumberRule.parse(text) for text in texts])

    def translate(self, number: str) -> Verdict:
        """Apply the rule that wins to a number as received, its URI parameters cut (docs/behaviour.md §3)."""
        if self._kept_by and number[:1] != "+":  # Nearly everyone has `%=>%` and no other.
            return Verdict(number, "", self._kept_by)
        rule = self._table.find(number)
        if rule is None:
            return Verdict(number, "NONE", "")
        if not rule.is_allowed:
            return Verdict(number, "BLOCKED", rule.text)
        return Verdict(rule.apply(number), "", rule.text)


class CLIRules:
    """The rules for the CLI by destination of an account, compiled (docs/behaviour.md §3)."""

    __slots__ = ("_table",)

    def __init__(self, rules: Iterable[CLIRule]) -> None:
        self._table = _Table(rules)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Read and compile rules, in any order (docs/behaviour.md §3).

        Raises:
            InvalidRule: One of them cannot be read.
        """
        return cls([CLIRule.parse(text) for text in texts])

    def rewrite(self, destination: str, cli: str) -> tuple[str, str]:
        """The CLI for a call to a destination and the rule that won (docs/behaviour.md §3).

        Returns:
            The CLI, unchanged where no rule matches, and the rule as written, empty where none matches.
        """
        rule = self._table.find(destination)
        return (cli, "") if rule is None else (rule.rewrite(cli), rule.text)


@dataclass(slots=True)
class _Dial(Generic[T]):
    """A dialing pattern and what it leads to."""

    pattern: Pattern
    text: str
    value: T

    @property
    def rank(self) -> tuple[int, bool, bool]:
        return self.pattern.rank


class DialPatterns(Generic[T]):
    """The dialing patterns of an account and what each leads to, compiled (docs/behaviour.md §4, patterns as in §3)."""

    __slots__ = ("_table",)

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._table = _Table([_Dial(Pattern.parse(text), text, value) for text, value in entries])

    @classmethod
    def of(cls, entries: Iterable[tuple[str, T]]) -> Self:
        """Read and compile patterns, each with its value; of equal texts the first stands (docs/behaviour.md §3, §4).

        Raises:
            InvalidRule: One of them cannot be read.
        """
        return cls(entries)

    def find(self, number: str) -> tuple[T, str, str] | None:
        """Find the pattern that wins for a number (docs/behaviour.md §4).

        Returns:
            Its value, the number after its strip, and the pattern as written; None where no pattern matches.
        """
        found = self._table.find(number)
        return None if found is None else (found.value, found.pattern.strip_from(number), found.text)
