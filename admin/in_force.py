"""The settings in force: each with its value, its unit, what it does and where it came from; secrets masked.

They are those of the panel's own process. The other processes read the same file and environment when they start.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from conf.database import without_password
from conf.errors import ConfigurationError
from conf.loader import find_file, given
from conf.settings import Settings

DEFAULT: Final = "default"
STARTED_WITH: Final = "given at the start"
"""Where a value came from that neither file nor environment has."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    name: str
    value: str
    unit: str
    meaning: str
    origin: str
    """Where it came from: `default`, a file or a variable of the environment."""

    @property
    def is_set(self) -> bool:
        """Whether somebody chose it."""
        return self.origin != DEFAULT


@dataclass(frozen=True, slots=True)
class Section:
    """One section."""

    name: str
    settings: tuple[Setting, ...]


def read_origins(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[tuple[str, str], str]:
    """Where each setting that somebody chose comes from, by section and name; read it when the process starts."""
    try:
        return {key: origin for key, (_value, origin) in given(path, environ).items()}
    except ConfigurationError:
        return {}  # the process was given its settings by other means


def in_force(settings: Settings, origins: Mapping[tuple[str, str], str]) -> tuple[Section, ...]:
    """Every setting by section, in the order of the documentation."""
    return tuple(
        Section(section.name, tuple(_settings(section.name, getattr(settings, section.name), origins)))
        for section in fields(Settings)
    )


def _settings(section: str, chosen: Any, origins: Mapping[tuple[str, str], str]) -> list[Setting]:  # noqa: ANN401
    defaults = type(chosen)()
    found = []
    for field in fields(chosen):
        value = getattr(chosen, field.name)
        origin = origins.get((section, field.name), "")
        if not origin:
            origin = DEFAULT if value == getattr(defaults, field.name) else STARTED_WITH
        found.append(Setting(field.name, _text(value), field.metadata["unit"], field.metadata["help"], origin))
    return found


def _text(value: object) -> str:
    """A value as people read it; empty for none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(_ranges(value) if all(isinstance(part, int) for part in value) else map(_text, value))
    if isinstance(value, str):
        return _masked(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _masked(text: str) -> str:
    """A text without the password of a URL; without_password drops a query, where there may be one too."""
    if "://" not in text or not ("@" in text or "password" in text.lower()):
        return text
    try:
        return without_password(text)
    except ValueError:
        return "not shown"


def _ranges(numbers: tuple[int, ...]) -> list[str]:
    """Numbers in a row as one part: `500-599`."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return [str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts]


def file_in_use() -> str:
    """Name of the settings file; empty: there is none."""
    file = find_file()
    return "" if file is None else str(file)
