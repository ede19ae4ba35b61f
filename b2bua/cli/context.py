"""What every command needs: the settings, a database connection, and one-line errors with the right exit status.

Exit status 0 is success, 1 a fault of the request (nothing of that name, refused, a server that went away), 2 a fault
of the settings or of the command line.
"""

import asyncio
import getpass
import os
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Annotated, Any, Final, NoReturn, TypeVar

import asyncpg
import typer

from b2bua.account.errors import AccountsError
from b2bua.control.messages import ControlError
from conf.database import connect_pool
from conf.errors import BackupFault, ConfigurationError
from conf.loader import load
from conf.settings import Settings
from rating.errors import RatingError
from rating.ledger import Connection

Result = TypeVar("Result")

LimitOption = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Most rows to list.")]

DEFAULT_LIMIT: Final = 100
"""Rows of a list when --limit is not given."""


class CommandError(Exception):
    """A request that cannot be met; its text is the line that the user reads."""


class NotFound(CommandError):
    """No object has this name."""


def settings_of(context: typer.Context) -> Settings:
    """Return the settings that the main command loaded, or load them when a module runs on its own."""
    if isinstance(context.obj, Settings):
        return context.obj
    with faults():
        return load()


def run(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a command's coroutine to its end; an expected error becomes one line and an exit status."""
    with faults():
        return asyncio.run(coroutine)


@contextmanager
def faults() -> Iterator[None]:
    """Turn expected errors into one line on standard error and an exit status."""
    try:
        yield
    except ConfigurationError as error:
        _fail(error, 2)
    except (CommandError, AccountsError, BackupFault, RatingError, ControlError) as error:
        _fail(error, 1)
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _fail(f"database: {error}", 1)
    except TimeoutError:
        _fail("no answer in time", 1)
    except OSError as error:
        _fail(error, 1)


def _fail(reason: object, status: int) -> NoReturn:
    typer.echo(f"error: {' '.join(str(reason).split())}", err=True)
    raise typer.Exit(status) from None


@asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Connection]:
    """Lend one connection to the database for the time of a command."""
    pool = await connect_pool(settings, min_size=1, max_size=1)
    try:
        async with pool.acquire() as connection:
            yield connection
    finally:
        await pool.close()


def tell(text: str) -> None:
    """Say something to the person at the terminal, beside the data that goes to standard output."""
    typer.echo(text, err=True)


def tell_more(cursor: str | None) -> None:
    """Say how to list on, when a list was cut at its limit."""
    if cursor is not None:
        tell(f"there is more: --after {cursor}")


def user_name() -> str:
    """Return who types, as the system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def parse_limit(text: str) -> int | None:
    """Read a limit from the command line: a whole number, or `none` for no limit.

    Raises:
        typer.BadParameter: anything else.
    """
    if text.lower() == "none":
        return None
    if not text.isascii() or not text.isdigit() or int(text) > 2**31 - 1:
        raise typer.BadParameter(f"{text!r} is neither a whole number nor none")
    return int(text)
