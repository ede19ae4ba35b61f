"""Where media engines are: `[media] engines` as addresses with weights."""

import socket
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from conf.embedded.location import run_directory
from conf.errors import InvalidSetting
from conf.settings import Settings

OWN: Final = "own"
"""The engine that the supervisor starts."""

OWN_NAME: Final = "media-1"

_EXAMPLES: Final = "own, udp://192.0.2.1:2223?weight=2 or unix:///run/engine.sock"


@dataclass(frozen=True, slots=True)
class EngineAddress:
    """One engine."""

    name: str
    """As it is shown, and as calls remember it: unique."""

    family: int
    """AF_INET, AF_INET6 or AF_UNIX."""

    target: tuple[str, int] | str
    """Host and port, or the path of a socket."""

    weight: int = 1
    """Its share of the calls; 0: only those that no other engine takes."""


def own_socket(settings: Settings) -> Path:
    """The socket of the engine that the supervisor starts."""
    return run_directory(settings) / f"{OWN_NAME}.sock"


def engine_addresses(settings: Settings) -> tuple[EngineAddress, ...]:
    """Return the engines of `[media] engines`.

    Raises:
        InvalidSetting: one is malformed, or named twice.
    """
    addresses = [_parse(text, settings) for text in settings.media.engines]
    if len({address.name for address in addresses}) != len(addresses):
        raise InvalidSetting("[media] engines: an engine is named twice")
    return tuple(addresses)


def _parse(text: str, settings: Settings) -> EngineAddress:
    wrong = InvalidSetting(f"[media] engines: {text!r} is no engine; one looks like {_EXAMPLES}")
    try:
        parts = urlsplit(text)
        weight = int(parse_qs(parts.query).get("weight", ["1"])[0])
        port = parts.port
    except ValueError:
        raise wrong from None
    if weight < 0:
        raise wrong
    if parts.scheme == "" and parts.path == OWN:
        return EngineAddress(OWN, socket.AF_UNIX, str(own_socket(settings)), weight)
    if parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return EngineAddress(text.partition("?")[0], socket.AF_UNIX, parts.path, weight)
    try:
        version = ip_address(parts.hostname or "").version
    except ValueError:
        raise wrong from None
    if parts.scheme != "udp" or not port or parts.path not in ("", "/"):
        raise wrong
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    return EngineAddress(text.partition("?")[0], family, (parts.hostname or "", port), weight)
