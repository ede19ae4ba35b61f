"""Where the embedded servers are found: everything follows from the settings, so any terminal finds what runs.

Below the data directory lie `postgresql`, `valkey`, `log`, `bin` (for root) and `run` with the sockets. The address of
a Unix socket has at most 107 bytes; where the data directory's name is too long for that, `run` is replaced by a
directory in /tmp whose name follows from the owner and the name of the data directory.
"""

import hashlib
import os
from pathlib import Path
from typing import Final
from urllib.parse import quote

from conf.settings import Settings

DATABASE: Final = "softswitch"
"""Name of the database and of the role that owns it."""

POSTGRESQL_PORT: Final = 5432
"""Part of the name of PostgreSQL's socket; no port is opened."""

_LONGEST_RUN_DIRECTORY: Final = 80
"""In bytes; leaves 26 for the name of a socket."""


def database_url(settings: Settings) -> str:
    """Return the URL of PostgreSQL: the one in the settings, else that of the embedded server's socket."""
    return settings.database.url or postgresql_url(settings, DATABASE, DATABASE)


def postgresql_url(settings: Settings, role: str, database: str) -> str:
    """Return the URL of a database of the embedded server."""
    # The port is named because asyncpg would otherwise take it from PGPORT.
    return f"postgresql://{role}@/{database}?host={quote(str(run_directory(settings)))}&port={POSTGRESQL_PORT}"


def live_url(settings: Settings) -> str:
    """Return the URL of Valkey: the one in the settings, else that of the embedded server's socket."""
    return settings.live.url or f"unix://{quote(str(valkey_socket(settings)))}"


def valkey_socket(settings: Settings) -> Path:
    """Return the socket of the embedded Valkey."""
    return run_directory(settings) / "valkey.sock"


def run_directory(settings: Settings) -> Path:
    """Return the directory of all sockets, control sockets too: `<data directory>/run`, or one in /tmp if too long."""
    directory = settings.system.path / "run"
    if len(os.fsencode(directory)) <= _LONGEST_RUN_DIRECTORY:
        return directory
    digest = hashlib.sha256(os.fsencode(settings.system.path)).hexdigest()[:16]
    return Path(f"/tmp/softswitch-{_owner_of(settings.system.path)}-{digest}")  # noqa: S108 - verified when it is made


def _owner_of(directory: Path) -> int:
    # Root may look at what a user started, so the name follows from the owner of the data and not from who asks.
    try:
        return directory.stat().st_uid
    except OSError:
        return os.geteuid()
