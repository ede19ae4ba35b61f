"""Whom the embedded servers run as, and the directories and programs that this user needs.

PostgreSQL refuses to run as root. For root a system user `softswitch` is made, the servers' data belong to it, and
their programs are copied into the data directory, since the place they were installed in may be closed to it (/root).
For anybody else the servers are ordinary children and run where they are installed.
"""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Final

from conf.embedded.location import run_directory
from conf.errors import ServerUnavailable
from conf.process import Owner
from conf.settings import Settings

SYSTEM_USER: Final = "softswitch"

_LARGEST_LOG: Final = 16 * 1024 * 1024
"""A server's log beyond this size, in bytes, is put aside when the server starts."""


def server_owner() -> Owner | None:
    """Return the user the servers run as: for root the system user, made if it is missing; else None, the caller.

    Raises:
        ServerUnavailable: the user cannot be made, or the caller has no name.
    """
    if os.geteuid() != 0:
        own_name()
        return None
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        _make_system_user()
        entry = pwd.getpwnam(SYSTEM_USER)
    return Owner(entry.pw_name, entry.pw_uid, entry.pw_gid)


def own_name() -> str:
    """Return the name of the user this process runs as, which PostgreSQL asks for."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ServerUnavailable(
            f"PostgreSQL cannot be started: user id {os.geteuid()} has no name in /etc/passwd"
        ) from None


def _make_system_user() -> None:
    program = shutil.which("useradd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if program is None:
        raise ServerUnavailable(f"PostgreSQL does not run as root and there is no useradd: make a user {SYSTEM_USER}")
    command = [program, "--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent"]
    command += ["--shell", "/usr/sbin/nologin", SYSTEM_USER]
    result = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - the command is ours
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        reason = result.stderr.strip() or f"useradd ended with status {result.returncode}"
        raise ServerUnavailable(
            f"PostgreSQL does not run as root and the user {SYSTEM_USER} cannot be made: {reason}"
        ) from None


def make_data_directory(settings: Settings) -> Path:
    """Make the data directory if it is missing: closed to others, except that root's lets the servers' user through."""
    directory = settings.system.path
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        if not directory.exists():
            directory.mkdir(mode=0o700)
            if os.geteuid() == 0:
                directory.chmod(0o711)
    except OSError as error:
        raise ServerUnavailable(f"data directory {directory} cannot be made: {error.strerror}") from error
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ServerUnavailable(f"data directory {directory} cannot be written by {own_name()}")
    return directory


def make_server_directory(directory: Path, owner: Owner | None) -> None:
    """Make a directory of mode 0700 that belongs to the servers' user, or verify that it is one.

    Raises:
        ServerUnavailable: somebody else's directory has that name, or it is open to others.
    """
    expected = owner.uid if owner else os.geteuid()
    try:
        directory.mkdir(mode=0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise ServerUnavailable(f"{directory} cannot be made: {error.strerror}") from error
    else:
        if owner:
            os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)
    state = directory.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != expected:
        name = owner.name if owner else own_name()
        raise ServerUnavailable(f"{directory} is not a directory of user {name}; move it away or use another directory")
    if stat.S_IMODE(state.st_mode) & 0o077:
        raise ServerUnavailable(f"{directory} is open to other users; it must have mode 0700")


def make_run_directory(settings: Settings, owner: Owner | None) -> Path:
    """Make the directory of the sockets, for the servers' user if there are servers of ours, else for the caller."""
    directory = run_directory(settings)
    if os.geteuid() == 0 and directory.is_dir() and not directory.is_symlink():
        # Root opens what belongs to the servers' user; and gives it what root made while the servers were others'.
        holder = directory.lstat().st_uid
        if owner is None and holder == _uid_of(SYSTEM_USER):
            return directory
        if owner is not None and holder == 0:
            os.chown(directory, owner.uid, owner.gid, follow_symlinks=False)
    make_server_directory(directory, owner)
    return directory


def _uid_of(name: str) -> int | None:
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def check_reach(directory: Path, owner: Owner | None) -> None:
    """Verify that the servers' user gets as far as its directory, whose parents are left as they are."""
    if owner is None:
        return
    result = subprocess.run(  # noqa: S603 - the command is ours
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(directory)],
        user=owner.uid,
        group=owner.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    if result.returncode != 0:
        raise ServerUnavailable(
            f"user {owner.name}, as whom the embedded servers run, cannot enter {directory}: "
            "open the directories above it (chmod o+x) or set system.directory to another place"
        )


def open_log(settings: Settings, name: str) -> IO[bytes]:
    """Open a server's log, `<data directory>/log/<name>.log`, for appending; one that has grown large is put aside."""
    directory = settings.system.path / "log"
    directory.mkdir(mode=0o700, exist_ok=True)
    file = directory / f"{name}.log"
    if file.exists() and file.stat().st_size > _LARGEST_LOG:
        file.replace(file.with_suffix(".log.1"))
    return file.open("ab", buffering=0)


def read_end(settings: Settings, name: str, lines: int = 3) -> str:
    """Return the last lines of a server's log as one line, for a message that says why it did not start."""
    try:
        text = (settings.system.path / "log" / f"{name}.log").read_text(errors="replace")
    except OSError:
        return ""
    return " / ".join([line.strip() for line in text.splitlines() if line.strip()][-lines:])


def installed_package(name: str) -> Path:
    """Return the directory of an installed package, which is not imported: it may do more than we want.

    Raises:
        ServerUnavailable: it is not installed.
    """
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise ServerUnavailable(f"the Python package {name} is not installed; install it or set the server's URL")
    return Path(spec.submodule_search_locations[0])


def copy_programs(source: Path, parts: tuple[str, ...], target: Path) -> Path:
    """Copy parts of a directory once to a place that the servers' user can read, and return that place.

    Args:
        source: Directory that holds the parts.
        parts: Names below it, files or directories.
        target: The copy, named with its version; complete as soon as it exists.
    """
    if target.exists():
        return target
    if not target.parent.exists():
        target.parent.mkdir()
        target.parent.chmod(0o755)
    working = Path(tempfile.mkdtemp(dir=target.parent, prefix=".copy-"))
    for part in parts:
        place = working / part
        place.parent.mkdir(parents=True, exist_ok=True)
        if (source / part).is_dir():
            shutil.copytree(source / part, place)
        else:
            shutil.copy2(source / part, place)
    for path in (working, *working.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    working.replace(target)
    return target
