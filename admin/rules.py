"""Number rules for people: in the order in which they are applied, what each does, and what becomes of a number."""

from collections.abc import Sequence
from dataclasses import dataclass

from b2bua.policy.numbers import CLIRule, CLIRules, InvalidRule, NumberRule, NumberRules, Pattern


@dataclass(frozen=True, slots=True)
class Trial:
    """What becomes of a number."""

    text: str
    """As a sentence."""
    is_allowed: bool


def in_order(texts: Sequence[str], kind: str) -> list[str]:
    """Rules in the order in which they win over each other; those that cannot be read come last."""
    return sorted(texts, key=lambda text: _rank(text, kind), reverse=True)


def _rank(text: str, kind: str) -> tuple[int | bool, ...]:
    try:
        return (True, *_parse(text, kind).rank)
    except InvalidRule:
        return (False,)


def _parse(text: str, kind: str) -> NumberRule:
    return (CLIRule if kind == "cli" else NumberRule).parse(text)


def patterns_in_order(texts: Sequence[str]) -> list[str]:
    """Dialing patterns in the order in which they win over each other."""
    return sorted(texts, key=lambda text: Pattern.parse(text).rank, reverse=True)


def explain(text: str, kind: str) -> str:
    """What a rule does, in words."""
    try:
        _parse(text, kind)
    except InvalidRule as error:
        return f"cannot be read: {error}"
    left, arrow, right = text.partition("=>")
    numbers = _numbers(left)
    if kind == "cli":
        return f"on calls to {numbers}: the caller's number {_becomes(right, '')}"
    if not arrow:
        return f"bars {numbers}"
    return f"lets {numbers} through{_and_then(left, right)}"


def _numbers(left: str) -> str:
    pattern = Pattern.parse(left)
    plus = "+" if pattern.has_plus else ""
    length = "" if pattern.length is None else f" of {pattern.length} digits"
    if not pattern.literal and not plus:
        return f"every number{length}"
    if not pattern.is_open:
        return f"{plus}{pattern.literal}"
    return f"numbers that begin with {plus}{pattern.literal}{length}"


def _and_then(left: str, right: str) -> str:
    strip = Pattern.parse(left).strip
    becomes = _becomes(right, strip)
    return "" if becomes == "stays" else f": {becomes}"


def _becomes(right: str, strip: str) -> str:
    taken = f"{strip} is taken off" if strip else ""
    if right in {"", "%"}:
        return taken or "stays"
    if right.endswith("%"):
        return " and ".join(part for part in (taken, f"{right[:-1]} is put before it") if part)
    return f"becomes {right}"


def try_number(texts: Sequence[str], kind: str, number: str, destination: str = "") -> Trial:
    """Say what becomes of a number and by which rule, counted in the order of the list."""
    ordered = in_order(texts, kind)
    try:
        if kind == "cli":
            result, rule = CLIRules.of(texts).rewrite(destination, number)
            if not rule:
                return Trial(f"{number} stays as it is: no rule matches {destination}", True)
            return Trial(f"{number} {_result(number, result)}, by rule {ordered.index(rule) + 1}: {rule}", True)
        verdict = NumberRules.of(texts).translate(number)
    except InvalidRule as error:
        return Trial(f"A rule cannot be read, so no such call is let through: {error}", False)
    if verdict.code == "NONE":
        return Trial(f"{number} is refused: no rule matches", False)
    place = f"by rule {ordered.index(verdict.rule) + 1}: {verdict.rule}"
    if verdict.code:
        return Trial(f"{number} is barred, {place}", False)
    return Trial(f"{number} {_result(number, verdict.number)}, {place}", True)


def _result(number: str, result: str) -> str:
    return "stays as it is" if number == result else f"becomes {result or 'nothing'}"
