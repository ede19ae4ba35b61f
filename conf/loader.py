"""Settings from the TOML file and the environment, checked against the fields of `conf.settings`.

A section of the file is a section of the settings. A variable `SOFTSWITCH_<SECTION>__<FIELD>` stands above the file;
the items of a list are separated by commas. Other variables that begin so are not settings: `SOFTSWITCH_CONFIG` names
the file, `SOFTSWITCH_READY_FD` belongs to the supervisor.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import Field, fields
from pathlib import Path
from typing import Any, Final, cast, get_type_hints

from conf.errors import InvalidSetting, UnknownSetting, UnreadableFile
from conf.settings import Settings

CONFIG_VARIABLE: Final = "SOFTSWITCH_CONFIG"
PREFIX: Final = "SOFTSWITCH_"
SEPARATOR: Final = "__"

DEFAULT_FILES: Final = (Path("softswitch.toml"), Path("/etc/softswitch/softswitch.toml"))
"""Where the file is looked for when nothing names one; the first that exists is read."""

_WORDS_OF_TRUTH: Final = {"true": True, "yes": True, "on": True, "1": True}
_WORDS_OF_FALSEHOOD: Final = {"false": False, "no": False, "off": False, "0": False}
_TRUTH: Final = _WORDS_OF_TRUTH | _WORDS_OF_FALSEHOOD

_EXPECTED: Final[dict[object, str]] = {
    str: "text in quotes",
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    tuple[str, ...]: "a list of texts",
    tuple[int, ...]: "a list of whole numbers",
}


def load(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings.

    Args:
        path: The file; None: the one that `find_file` finds, if any.
        environ: The environment, whose variables override the file.

    Raises:
        UnreadableFile: the file is missing, forbidden or not TOML.
        UnknownSetting: a section or key that does not exist.
        InvalidSetting: a value of the wrong type or out of its range.
    """
    values: dict[str, dict[str, Any]] = {}
    for (section, name), (value, _origin) in given(path, environ).items():
        values.setdefault(section, {})[name] = value
    sections = get_type_hints(Settings)
    return Settings(**{name: sections[name](**chosen) for name, chosen in values.items()})


def given(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[tuple[str, str], tuple[Any, str]]:
    """Settings that are not left at their defaults, by section and name: each value, and what gives it.

    That is the name of the file or of the variable. Arguments and faults are those of `load`.
    """
    file = find_file(path, environ)
    found: dict[tuple[str, str], tuple[Any, str]] = {}
    for section, chosen in (_read_file(file) if file is not None else {}).items():
        found |= {(section, name): (value, str(file)) for name, value in chosen.items()}
    for section, name, value in _from_environment(environ):
        found[section, name] = (value, f"{PREFIX}{section}{SEPARATOR}{name}".upper())
    return found


def find_file(path: Path | None = None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the settings file: the argument, else $SOFTSWITCH_CONFIG, else the first default there is, else None."""
    if path is not None:
        return path
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    return next((file for file in DEFAULT_FILES if file.is_file()), None)


def _read_file(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UnreadableFile(f"settings file {file}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UnreadableFile(f"settings file {file} is not TOML: {error}") from error
    values: dict[str, dict[str, Any]] = {}
    for section, content in document.items():
        _find_section(section, str(file))
        if not isinstance(content, dict):
            raise InvalidSetting(f"{file}: {section} is a section: write [{section}] and its settings below it")
        values[section] = {
            name: _convert(_find_field(section, name, str(file)), section, value, str(file))
            for name, value in content.items()
        }
    return values


def _from_environment(environ: Mapping[str, str]) -> list[tuple[str, str, Any]]:
    values = []
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        section, separator, name = variable.removeprefix(PREFIX).lower().partition(SEPARATOR)
        if not separator:
            _suspect_misspelling(variable)
            continue
        _find_section(section, f"environment variable {variable}")
        setting = _find_field(section, name, f"environment variable {variable}")
        parsed = _parse(_type_of(section, setting), text)
        values.append((section, name, _convert(setting, section, parsed, f"environment variable {variable}")))
    return values


def _suspect_misspelling(variable: str) -> None:
    """Refuse SOFTSWITCH_DATABASE_URL, which lacks an underscore, but not names that others put into the environment."""
    known = [
        f"{PREFIX}{section.name}{SEPARATOR}{field.name}".upper()
        for section in fields(Settings)
        for field in _fields_of(section.name)
    ]
    if near := difflib.get_close_matches(variable, known, n=1, cutoff=0.92):
        raise UnknownSetting(f"environment variable {variable} is no setting; did you mean {near[0]}?")


def _find_section(name: str, origin: str) -> None:
    known = [section.name for section in fields(Settings)]
    if name not in known:
        raise UnknownSetting(f"{origin}: there is no section [{name}]{_nearest(name, known, '[{}]')}")


def _find_field(section: str, name: str, origin: str) -> "Field[Any]":
    known = {field.name: field for field in _fields_of(section)}
    if name not in known:
        raise UnknownSetting(
            f"{origin}: section [{section}] has no setting {name}{_nearest(name, list(known), section + '.{}')}"
        )
    return known[name]


def _nearest(name: str, known: list[str], form: str) -> str:
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {form.format(near[0])}?" if near else f"; there are {', '.join(known)}"


def _fields_of(section: str) -> tuple["Field[Any]", ...]:
    return fields(get_type_hints(Settings)[section])


def _type_of(section: str, setting: "Field[Any]") -> object:
    hints: dict[str, object] = get_type_hints(get_type_hints(Settings)[section])
    return hints[setting.name]


def _parse(kind: object, text: str) -> object:
    """Read the text of a variable as TOML would have given it; text that does not fit is left to `_convert`."""
    if kind is bool:
        return _TRUTH.get(text.strip().lower(), text)
    if kind in (int, float):
        return _parse_number(text)
    if kind in (tuple[str, ...], tuple[int, ...]):
        items = [item.strip() for item in text.split(",") if item.strip()]
        return [_parse_number(item) for item in items] if kind == tuple[int, ...] else items
    return text


def _parse_number(text: str) -> object:
    for form in (int, float):
        try:
            return form(text)
        except ValueError:
            continue
    return text


def _convert(setting: "Field[Any]", section: str, value: object, origin: str) -> object:
    kind = _type_of(section, setting)
    where = f"{origin}: {section}.{setting.name}"
    if not _fits(kind, value):
        raise InvalidSetting(f"{where} is {_show(value)}; it must be {_EXPECTED[kind]}")
    if isinstance(value, (int, float)) and value < 0:
        raise InvalidSetting(f"{where} is {_show(value)}; it must be zero or more")
    choices = setting.metadata["choices"]
    if choices and value not in choices:
        raise InvalidSetting(f"{where} is {_show(value)}; it must be one of {', '.join(choices)}")
    if kind is float:
        return float(cast(float, value))
    return tuple(value) if isinstance(value, list) else value


def _fits(kind: object, value: object) -> bool:
    if kind == tuple[str, ...]:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind == tuple[int, ...]:
        return isinstance(value, list) and all(_fits(int, item) and item >= 0 for item in value)
    if kind is float:
        # TOML knows inf and nan; this comparison is false for both.
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, cast(type, kind))


def _show(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
