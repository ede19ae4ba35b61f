"""`softswitch migrate`: bring the database to the schema of this code."""

import asyncio

import typer

from conf.embedded.location import database_url
from conf.loader import load
from conf.migrate import migrate
from conf.schema import SCHEMA_VERSION


def command() -> None:
    """Bring the database to the schema of this version; the database must be running."""
    count = asyncio.run(migrate(database_url(load())))
    typer.echo(f"{count} migrations applied, the database has schema version {SCHEMA_VERSION}")
