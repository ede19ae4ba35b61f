"""Inputs of a form, and what was typed into them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from multidict import MultiMapping
from pydantic import ValidationError

from admin.keys import SETTINGS
from b2bua.account.errors import Refused
from b2bua.account.field import faults_of

YES_NO: Final = {"yes": "Yes", "no": "No"}


@dataclass(frozen=True, slots=True)
class Input:
    """One field."""

    name: str
    label: str
    hint: str = ""
    """The rule, and what empty and 0 mean."""
    kind: str = "text"
    """text, password, number, email, tel, textarea, select, radio, switch or list."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Of a select or radio; those that come out of the database are in the choices of the page."""
    unit: str = ""
    is_needed: bool = True
    is_wide: bool = False
    is_code: bool = False
    """Shown monospaced."""
    most: int = 200
    """Characters."""


@dataclass(frozen=True, slots=True)
class Section:
    """Fields under one heading."""

    name: str
    title: str
    purpose: str
    inputs: tuple[Input, ...]
    needs: str = ""
    """The permission without which it is not shown."""


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as the page shows it: what was typed, what is wrong with it, what may be chosen."""

    values: Mapping[str, str]
    errors: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def typed(fields: MultiMapping[Any], inputs: Iterable[Input]) -> dict[str, str]:
    """What was typed into a form; a switch that was not sent is off."""
    values = {}
    for each in inputs:
        value = fields.get(each.name, "no" if each.kind == "switch" else "")
        values[each.name] = value if isinstance(value, str) else ""
    return values


def without_secrets(values: Mapping[str, str], inputs: Iterable[Input]) -> dict[str, str]:
    """What a refused form shows again."""
    secret = {each.name for each in inputs if each.kind == "password"}
    return {name: "" if name in secret else value for name, value in values.items()}


def faults(error: ValidationError | Refused) -> dict[str, str]:
    """What is wrong, by field."""
    return {error.field: str(error)} if isinstance(error, Refused) else faults_of(error)


def context(request: web.Request) -> dict[str, Any]:
    """What rules depend on besides."""
    return {"e164_phones": request.app[SETTINGS].panel.e164_phones}
