"""`softswitch cdr write`: the process that brings call detail records from the journals to the database."""

import typer

from conf.loader import load
from conf.log import configure


def command() -> None:
    """Run the CDR writer alone."""
    from cdr.__main__ import run

    settings = load()
    configure(settings, "cdr")
    raise typer.Exit(run(settings))
