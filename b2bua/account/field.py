"""How the texts of a form become values, and what is said of those that cannot.

Each reader takes the text as it was typed and returns the value of its column, or raises `Fault` with a sentence that
says what would be right. `Field` puts a reader into a pydantic model.
"""

import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import IPv6Network, ip_network
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from media.sdp import CodecList

MOST: Final = 2**31 - 1
"""What an integer of the database holds."""
NONE: Final = "none"
"""Typed for no limit."""
PASSWORD_RULE: Final = "8 to 30 characters with a capital letter, a digit and a special character"  # noqa: S105

_YES: Final = frozenset({"yes", "on", "true", "1", "active"})
_NO: Final = frozenset({"no", "off", "false", "0", "inactive", ""})
_EMAIL: Final = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
_AMOUNT: Final = re.compile(r"[0-9]{1,20}(\.[0-9]{1,10})?")
_MINUTES: Final = re.compile(r"([0-9]{1,5})(?::([0-5][0-9]))?")
_PERCENT: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,4})?")

Read = Callable[[str], Any]


class Fault(ValueError):
    """What was typed is not right; the text says what would be."""


class Form(BaseModel):
    """What the models of forms have in common: every field has a default, so that a missing one is an empty one."""

    model_config = ConfigDict(validate_default=True, extra="ignore", frozen=True)


def field(read: Read) -> BeforeValidator:
    """Read the text of a field; a value that is no text is one of the command line's, and is written as text first."""

    def validate(value: object) -> object:
        try:
            return read(_text(value))
        except Fault as fault:
            raise PydanticCustomError("rule", "{text}", {"text": str(fault)}) from None

    return BeforeValidator(validate)


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ",".join(str(part) for part in value)
    return str(value).strip()


def misfit(name: str, text: str) -> PydanticCustomError:
    """A fault that only fields together have, shown beside the field `name`."""
    return PydanticCustomError("rule", "{text}", {"text": text, "field": name})


def faults_of(error: ValidationError) -> dict[str, str]:
    """Sentences by the name of the field they are about, in the order of the form."""
    faults: dict[str, str] = {}
    for each in error.errors(include_url=False):
        context: Mapping[str, Any] = each.get("ctx", {})
        name = str(context.get("field") or (each["loc"][0] if each["loc"] else ""))
        faults.setdefault(name, str(context.get("text", each["msg"])))
    return faults


def read_field(form: type[Form], name: str, typed: object, context: Mapping[str, Any] | None = None) -> Any:  # noqa: ANN401
    """Read one field of a form by itself, as a change on the command line does.

    Raises:
        Fault: what was typed is not right.
    """
    info = form.model_fields[name]
    typed_as: Any = Annotated[info.annotation, *info.metadata]
    adapter: TypeAdapter[Any] = TypeAdapter(typed_as)
    try:
        return adapter.validate_python(typed, context=dict(context or {}))
    except ValidationError as error:
        raise Fault(next(iter(faults_of(error).values()))) from None


def text(label: str, most: int, *, needed: bool = True) -> Read:
    """A line or more of printable text."""

    def read(typed: str) -> str:
        if not typed and needed:
            raise Fault(f"{label} is needed")
        if len(typed) > most:
            raise Fault(f"{label} must have at most {most} characters; this has {len(typed)}")
        if any(not letter.isprintable() and letter not in "\r\n" for letter in typed):
            raise Fault(f"{label} must have only letters, digits and signs")
        if typed and not any(letter.isalnum() for letter in typed):
            raise Fault(f"{label} must have a letter or a digit")
        return typed

    return read


def choice(label: str, options: Mapping[str, str] | tuple[str, ...]) -> Read:
    """One of a few words."""

    def read(typed: str) -> str:
        if typed not in options:
            raise Fault(f"{label} must be {_either(options)}")
        return typed

    return read


def _either(options: Mapping[str, str] | tuple[str, ...]) -> str:
    words = list(options.values()) if isinstance(options, Mapping) else list(options)
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]


def switch(label: str) -> Read:
    """Yes or no; a field that was not sent is no."""

    def read(typed: str) -> bool:
        word = typed.lower()
        if word not in _YES and word not in _NO:
            raise Fault(f"{label} must be yes or no")
        return word in _YES

    return read


def whole(label: str, least: int, most: int = MOST) -> Read:
    """A whole number within bounds."""

    def read(typed: str) -> int:
        rule = f"a whole number from {least} to {most}" if most < MOST else f"a whole number from {least}"
        if not (typed.isascii() and typed.isdigit()) or not least <= int(typed) <= most:
            raise Fault(f"{label} must be {rule}" if typed else f"{label} is needed: {rule}")
        return int(typed)

    return read


def limit(label: str, *, needed: bool = False) -> Read:
    """A whole number from 0, or none: no limit."""

    def read(typed: str) -> int | None:
        if typed.lower() == NONE or (not typed and not needed):
            return None
        if not typed:
            raise Fault(f"{label} is needed: a whole number from 0, or none for no limit")
        if not (typed.isascii() and typed.isdigit()) or int(typed) > MOST:
            raise Fault(f"{label} must be a whole number from 0, or none for no limit")
        return int(typed)

    return read


def amount(label: str, *, needed: bool = False, above_zero: bool = False) -> Read:
    """An amount of money with at most 10 decimals, never negative."""

    def read(typed: str) -> Decimal:
        if not typed and not needed:
            return Decimal(0)
        value = Decimal(typed) if _AMOUNT.fullmatch(typed) else Decimal(-1)
        if value < 0 or (above_zero and not value):
            rule = "an amount above 0, like 250.00" if above_zero else "an amount from 0, like 250.00"
            raise Fault(f"{label} must be {rule}" if typed else f"{label} is needed: {rule}")
        return value

    return read


def percent(label: str) -> Read:
    """A percentage, or nothing."""

    def read(typed: str) -> Decimal | None:
        if not typed:
            return None
        try:
            value = Decimal(typed) if _PERCENT.fullmatch(typed) else Decimal(-1)
        except InvalidOperation:
            value = Decimal(-1)
        if not 0 <= value <= 100:
            raise Fault(f"{label} must be a percentage from 0 to 100, like 19 or 7.5")
        return value

    return read


def minutes(label: str) -> Read:
    """Minutes, or minutes and seconds as 1:30; gives seconds. Nothing: the system's."""

    def read(typed: str) -> int | None:
        if not typed or typed.lower() == NONE:
            return None
        match = _MINUTES.fullmatch(typed)
        seconds = int(match[1]) * 60 + int(match[2] or 0) if match else 0
        if not 1 <= seconds <= 100_000 * 60:
            raise Fault(f"{label} must be in minutes, like 120 or 1:30")
        return seconds

    return read


def show_minutes(seconds: int | None) -> str:
    """Write seconds as `minutes` reads them."""
    if seconds is None:
        return ""
    whole_minutes, rest = divmod(seconds, 60)
    return f"{whole_minutes}:{rest:02}" if rest else str(whole_minutes)


def email(label: str, most: int) -> Read:
    """An e-mail address, or nothing."""

    def read(typed: str) -> str:
        if typed and (len(typed) > most or _EMAIL.fullmatch(typed) is None):
            raise Fault(f"{label} must be an e-mail address of at most {most} characters, like anna@example.com")
        return typed

    return read


def phone(label: str, *, takes_e164: bool) -> Read:
    """Ten digits, or where that is allowed + and 7 to 15 digits; spaces, dashes and brackets do not count."""

    def read(typed: str) -> str:
        number = re.sub(r"[ ()/.-]", "", typed)
        is_good = re.fullmatch(r"[0-9]{10}", number) or (takes_e164 and re.fullmatch(r"\+[1-9][0-9]{6,14}", number))
        if not is_good:
            more = ", or begin with + and the country, like +493090182000" if takes_e164 else ""
            raise Fault(f"{label} must be 10 digits, like 3090182000{more}")
        return number

    return read


def pin(label: str) -> Read:
    """A postal code, or nothing."""

    def read(typed: str) -> str:
        if typed and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 -]{1,8}[A-Za-z0-9]", typed) is None:
            raise Fault(f"{label} must have 3 to 10 letters or digits, like 10115 or SW1A 1AA")
        return typed

    return read


def login(label: str) -> Read:
    """The name that somebody signs in to the panel with."""

    def read(typed: str) -> str:
        if re.fullmatch(r"[A-Za-z0-9]{1,30}", typed) is None:
            rule = "1 to 30 letters or digits, without spaces"
            raise Fault(f"{label} must have {rule}" if typed else f"{label} is needed: {rule}")
        return typed

    return read


def password_faults(password: str) -> list[str]:
    """Say what a new password lacks, in words for its form; empty when it is good."""
    faults = []
    if not 8 <= len(password) <= 30:
        faults.append("must have 8 to 30 characters")
    if not re.search(r"[A-Z]", password):
        faults.append("needs a capital letter")
    if not re.search(r"[0-9]", password):
        faults.append("needs a digit")
    if not re.search(r"[^A-Za-z0-9\s]", password):
        faults.append("needs a special character, like ! or #")
    return faults


def password(label: str) -> Read:
    """A new password."""

    def read(typed: str) -> str:
        if not typed:
            raise Fault(f"{label} is needed: {PASSWORD_RULE}")
        if faults := password_faults(typed):
            raise Fault(f"{label} {', '.join(faults)}")
        return typed

    return read


def codecs(label: str) -> Read:
    """Codecs in the order of preference, with commas between."""

    def read(typed: str) -> tuple[str, ...]:
        parts = [part.strip() for part in typed.split(",") if part.strip()]
        if not parts:
            return ()
        try:
            names = CodecList.of(parts).names
        except ValueError as error:
            raise Fault(f"{label} must be codecs with commas between, like PCMA, PCMU, G729: {error}") from None
        if len(names) > 32:
            raise Fault(f"{label} must have at most 32 codecs")
        return tuple(names)

    return read


def network(label: str, *, needed: bool = True) -> Read:
    """An address or a CIDR, IPv4 or IPv6; an IPv4 address in IPv6 clothes is IPv4."""

    def read(typed: str) -> str | None:
        if not typed and not needed:
            return None
        try:
            found = ip_network("" if "%" in typed else typed)
        except ValueError:
            rule = "an IPv4 or IPv6 address, or a network like 192.0.2.0/24 with no bits set after its mask"
            raise Fault(f"{label} must be {rule}" if typed else f"{label} is needed: {rule}") from None
        if isinstance(found, IPv6Network) and found.prefixlen >= 96 and found.network_address.ipv4_mapped:
            return f"{found.network_address.ipv4_mapped}/{found.prefixlen - 96}"
        return str(found)

    return read


def pattern(label: str, expression: str, rule: str, *, needed: bool = True) -> Read:
    """A text of a certain shape."""

    def read(typed: str) -> str:
        if (typed or needed) and re.fullmatch(expression, typed) is None:
            raise Fault(f"{label} must be {rule}" if typed else f"{label} is needed: {rule}")
        return typed

    return read
